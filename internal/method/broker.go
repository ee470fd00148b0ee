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
	surrogate     bool
	rows          []float32
	label, target int32
	draws         []uint64 // of a model that draws at random: for scores one for each row, for a gradient those of its mean

	// The answer, in memory that the one who asks has made.
	scores []float64
	slope  []float32
	value  float32

	err  error
	done chan struct{}
}

// kind is what questions must have in common to be asked together.
type kind struct {
	loss      model.Loss
	surrogate bool
}

func (q *question) kind() kind { return kind{q.loss, q.surrogate} }

// broker joins the questions of the lanes. Once every lane waits for an answer, the
// last one runs those of one kind in batches of a fixed size: full ones, where a kind fills any, else
// what there is most of, filled up with copies of the last row. So batches are as full as they can
// be without anyone waiting for time to pass, and the model never sees a batch of another size.
// With two lanes for each row of a batch, either the scores or the gradients asked for fill one.
type broker struct {
	ctx           context.Context
	target        Target
	size, classes int // of a row; a refusal is a class here
	random        bool
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
	draws         []uint64
}

func newScoresBatch(length, size, classes int) scoresBatch {
	return scoresBatch{length, make([]float64, length*size), make([]float64, length*classes), make([]uint64, length)}
}

// slopesBatch is the same for gradients.
type slopesBatch struct {
	length                      int
	labels, targets             []int32
	rows, scores, values, slope []float32
	draws                       []uint64
}

func newSlopesBatch(length, size, classes int) slopesBatch {
	return slopesBatch{
		length: length, labels: make([]int32, length), targets: make([]int32, length),
		rows: make([]float32, length*size), scores: make([]float32, length*classes),
		values: make([]float32, length), slope: make([]float32, length*size), draws: make([]uint64, length),
	}
}

func newBroker(ctx context.Context, t Target, rows, lanes int) *broker {
	d := t.Model.Describe()
	return &broker{ctx: ctx, target: t, size: d.RowSize(), classes: len(d.Classes), random: d.Random, rows: rows, living: lanes}
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
	rows := map[kind]int{}
	for _, q := range b.queue {
		rows[q.kind()] += b.rowsOf(q)
	}
	var next kind
	room, most := 0, 0.0
	for _, q := range b.queue { // of equals that which waits longest
		n, batch := rows[q.kind()], b.batchOf(q)
		if fill := min(float64(n)/float64(batch), 1); fill > most {
			next, most, room = q.kind(), fill, n
			if n > batch {
				room -= n % batch // what would fill a part of a batch waits for more
			}
		}
	}
	var taken, left []*question
	for _, q := range b.queue {
		if n := b.rowsOf(q); q.kind() == next && (n <= room || len(taken) == 0) {
			taken, room = append(taken, q), room-n
		} else {
			left = append(left, q)
		}
	}
	b.queue = left
	return taken
}

// rowsOf is how many rows the model is asked about for a question.
func (b *broker) rowsOf(q *question) int {
	if q.loss == "" {
		return len(q.rows) / b.size
	}
	return max(len(q.draws), 1)
}

// batchOf is how many rows the model is asked about at once for questions of a kind.
func (b *broker) batchOf(q *question) int {
	if q.loss == "" {
		return b.rows
	}
	return b.target.differentiable(q.surrogate).Batch()
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
			if p.of.draws != nil {
				m.draws[i] = p.of.draws[p.row]
			}
		}
		if err := predict(b.ctx, b.target.Model, b.random, m.wide, m.draws, m.answers); err != nil {
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
	type place struct {
		of   *question
		draw int
	}
	var places []place
	for _, q := range taken {
		for draw := range max(len(q.draws), 1) {
			places = append(places, place{q, draw})
		}
	}
	of := b.target.differentiable(taken[0].surrogate)
	if b.slopes.length != of.Batch() {
		b.slopes = newSlopesBatch(of.Batch(), b.size, b.classes)
	}
	m, size := &b.slopes, b.size
	for chunk := range slices.Chunk(places, m.length) {
		for i := range m.length {
			p := chunk[min(i, len(chunk)-1)]
			copy(m.rows[i*size:(i+1)*size], p.of.rows)
			m.labels[i], m.targets[i] = p.of.label, p.of.target
			if p.of.draws != nil {
				m.draws[i] = p.of.draws[p.draw]
			}
		}
		if err := m.run(b.ctx, of, taken[0].loss, taken[0].draws != nil); err != nil {
			return err
		}
		for i, p := range chunk {
			p.of.add(m, i)
		}
	}
	return nil
}

// run asks for the gradients of a batch.
func (m *slopesBatch) run(ctx context.Context, of model.Differentiable, loss model.Loss, random bool) error {
	targets := m.targets
	if !loss.Targeted() {
		targets = nil
	}
	if d, ok := of.(model.DrawingGradient); ok && random {
		return d.GradientDraws(ctx, loss, m.rows, m.labels, targets, m.draws, m.scores, m.values, m.slope)
	}
	return of.Gradient(ctx, loss, m.rows, m.labels, targets, m.scores, m.values, m.slope)
}

// add adds the answer for one row of a batch to the question's mean, which is the answer itself where there are no draws.
func (q *question) add(m *slopesBatch, row int) {
	scores, slope := m.scores[row*len(q.scores):(row+1)*len(q.scores)], m.slope[row*len(q.slope):(row+1)*len(q.slope)]
	if len(q.draws) == 0 {
		for j, v := range scores {
			q.scores[j] = float64(v)
		}
		copy(q.slope, slope)
		q.value = m.values[row]
		return
	}
	n := float32(len(q.draws))
	for j, v := range scores {
		q.scores[j] += float64(v) / float64(n)
	}
	for j, v := range slope {
		q.slope[j] += v / n
	}
	q.value += m.values[row] / n
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
		if err := predict(b.ctx, b.target.Model, b.random, m.wide, m.draws, m.answers); err != nil {
			return nil, err
		}
		for i := range chunk {
			known = append(known, winner(m.answers[i*b.classes:(i+1)*b.classes]))
		}
	}
	b.poolKnown = known
	return known, nil
}
