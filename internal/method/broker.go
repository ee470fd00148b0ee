package method

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"

	"assay/internal/model"
)

// question is what a unit asks of the model: scores of rows, or the gradient of a
// loss at one row.
type question struct {
	loss          model.Loss // empty for scores
	rows          []float32
	label, target int32

	// The answer, in memory that the one who asks has made.
	scores []float64
	slope  []float32
	value  float32

	err  error
	done chan struct{}
}

// broker joins the questions of the lanes. Once every lane waits for an answer, the
// last one runs those of the kind that most was asked of, in batches of a fixed size
// that are filled up with copies of their last row. So batches are as full as they can
// be without anyone waiting for time to pass, and the model never sees a batch of another size.
type broker struct {
	ctx           context.Context
	target        Target
	size, classes int // of a row
	rows          int // of which scores are asked at once
	scores        scoresBatch
	slopes        slopesBatch

	mu     sync.Mutex
	living int // lanes that may still ask
	queue  []*question

	poolMu    sync.Mutex
	poolKnown []int
}

// scoresBatch is memory for the rows of which scores are asked together.
type scoresBatch struct {
	length        int // in rows
	wide, answers []float64
}

func newScoresBatch(length, size, classes int) scoresBatch {
	return scoresBatch{length, make([]float64, length*size), make([]float64, length*classes)}
}

// slopesBatch is the same for gradients.
type slopesBatch struct {
	length                      int
	labels, targets             []int32
	rows, scores, values, slope []float32
}

func newSlopesBatch(length, size, classes int) slopesBatch {
	return slopesBatch{
		length: length, labels: make([]int32, length), targets: make([]int32, length),
		rows: make([]float32, length*size), scores: make([]float32, length*classes),
		values: make([]float32, length), slope: make([]float32, length*size),
	}
}

func newBroker(ctx context.Context, t Target, rows, lanes int) *broker {
	d := t.Model.Describe()
	return &broker{ctx: ctx, target: t, size: d.RowSize(), classes: len(d.Classes), rows: rows, living: lanes}
}

// ask waits for a question's answer. Each lane asks one at a time.
func (b *broker) ask(q *question) error {
	if err := context.Cause(b.ctx); err != nil {
		return err
	}
	q.done = make(chan struct{})
	b.mu.Lock()
	b.queue = append(b.queue, q)
	taken := b.ready()
	b.mu.Unlock()
	b.answer(taken)
	<-q.done
	return q.err
}

// leave says that a lane asks no more.
func (b *broker) leave() {
	b.mu.Lock()
	b.living--
	taken := b.ready()
	b.mu.Unlock()
	b.answer(taken)
}

// ready takes the questions of one kind off the queue, once every lane waits.
func (b *broker) ready() []*question {
	if len(b.queue) < b.living || len(b.queue) == 0 {
		return nil
	}
	rows := map[model.Loss]int{}
	kind := b.queue[0].loss
	for _, q := range b.queue {
		rows[q.loss] += len(q.rows)
		if rows[q.loss] > rows[kind] {
			kind = q.loss
		}
	}
	var taken, left []*question
	for _, q := range b.queue {
		if q.loss == kind {
			taken = append(taken, q)
		} else {
			left = append(left, q)
		}
	}
	b.queue = left
	return taken
}

// answer runs questions of one kind. No other goroutine does so at the same time: all
// lanes wait for an answer, or have ended, until the last is given.
func (b *broker) answer(taken []*question) {
	if len(taken) == 0 {
		return
	}
	err := b.run(taken)
	for _, q := range taken {
		q.err = err
		close(q.done)
	}
}

// run asks the model. Its panic is an error too, as others wait for the answer.
func (b *broker) run(taken []*question) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the model panicked: %v\n%s", p, debug.Stack())
		}
	}()
	if b.ctx.Err() != nil {
		return context.Cause(b.ctx)
	}
	if taken[0].loss == "" {
		return b.runScores(taken)
	}
	return b.runSlopes(taken)
}

func (b *broker) runScores(taken []*question) error {
	type place struct {
		of  *question
		row int
	}
	var places []place
	for _, q := range taken {
		for row := range len(q.rows) / b.size {
			places = append(places, place{q, row})
		}
	}
	if b.scores.length == 0 {
		b.scores = newScoresBatch(b.rows, b.size, b.classes)
	}
	m, classes := &b.scores, b.classes
	for chunk := range slices.Chunk(places, m.length) {
		for i := range m.length {
			p := chunk[min(i, len(chunk)-1)]
			for j, v := range p.of.rows[p.row*b.size : (p.row+1)*b.size] {
				m.wide[i*b.size+j] = float64(v)
			}
		}
		if err := b.target.Model.Predict(b.ctx, m.wide, m.answers); err != nil {
			return err
		}
		for i, p := range chunk {
			for j, v := range m.answers[i*classes : (i+1)*classes] {
				p.of.scores[p.row*classes+j] = v
			}
		}
	}
	return nil
}

func (b *broker) runSlopes(taken []*question) error {
	if b.slopes.length == 0 {
		b.slopes = newSlopesBatch(b.target.Gradient.Batch(), b.size, b.classes)
	}
	m, size, classes := &b.slopes, b.size, b.classes
	for chunk := range slices.Chunk(taken, m.length) {
		for i := range m.length {
			q := chunk[min(i, len(chunk)-1)]
			copy(m.rows[i*size:(i+1)*size], q.rows)
			m.labels[i], m.targets[i] = q.label, q.target
		}
		targets := m.targets
		if !taken[0].loss.Targeted() {
			targets = nil
		}
		if err := b.target.Gradient.Gradient(b.ctx, taken[0].loss, m.rows, m.labels, targets, m.scores, m.values, m.slope); err != nil {
			return err
		}
		for i, q := range chunk {
			for j, v := range m.scores[i*classes : (i+1)*classes] {
				q.scores[j] = float64(v)
			}
			copy(q.slope, m.slope[i*size:(i+1)*size])
			q.value = m.values[i]
		}
	}
	return nil
}

// poolClasses gives the class of each row of the pool. The first to need them asks for all,
// in batches of the usual size; the others wait.
func (b *broker) poolClasses() ([]int, error) {
	b.poolMu.Lock()
	defer b.poolMu.Unlock()
	if b.poolKnown != nil {
		return b.poolKnown, nil
	}
	m := newScoresBatch(b.rows, b.size, b.classes)
	known := make([]int, 0, len(b.target.Pool))
	for chunk := range slices.Chunk(b.target.Pool, m.length) {
		for i := range m.length {
			for j, v := range chunk[min(i, len(chunk)-1)] {
				m.wide[i*b.size+j] = float64(v)
			}
		}
		if err := b.target.Model.Predict(b.ctx, m.wide, m.answers); err != nil {
			return nil, err
		}
		for i := range chunk {
			known = append(known, winner(m.answers[i*b.classes:(i+1)*b.classes]))
		}
	}
	b.poolKnown = known
	return known, nil
}
