package train

import "time"

// Progress is where a training stands.
type Progress struct {
	Epoch, Epochs int           // the epoch at hand, from 1, and how many there are at most
	Step, Steps   int           // of the epoch
	Score         Score         // the mean over the epoch so far
	Ended         *Epoch        // what the epoch gave, once it has ended
	Rate          float64       // examples per second, over the epoch so far
	Left          time.Duration // until all epochs have been, at that rate
	Spent         time.Duration // on the epoch so far
	Runtime       time.Duration // of it in ONNX Runtime
}

// meter watches an epoch.
type meter struct {
	tally
	options  *Options
	steps    int
	examples int // of an epoch
	started  time.Time
	seen     int
	runtime  time.Duration
	last     Progress
}

func newMeter(o *Options, f *feeder) *meter {
	return &meter{options: o, steps: f.steps(), examples: f.examples()}
}

func (m *meter) begin(epoch int) {
	m.tally, m.seen, m.runtime = tally{}, 0, 0
	m.started = m.options.Now()
	m.last = Progress{Epoch: epoch + 1, Epochs: m.options.Epochs, Steps: m.steps}
}

// add counts a batch, and reports whether its losses are finite.
func (m *meter) add(b *Batch) bool {
	m.seen += b.Len()
	return m.tally.add(b, b.Len())
}

// tell reports a step that has been done.
func (m *meter) tell(step int) {
	if m.options.Progress == nil {
		return
	}
	m.last.Step, m.last.Score = step+1, m.score()
	m.last.Spent, m.last.Runtime = m.options.Now().Sub(m.started), m.runtime
	if spent := m.last.Spent.Seconds(); spent > 0 {
		m.last.Rate = float64(m.seen) / spent
		left := m.examples - m.seen + (m.last.Epochs-m.last.Epoch)*m.examples
		m.last.Left = time.Duration(float64(left) / m.last.Rate * float64(time.Second))
	}
	m.options.Progress(m.last)
}

// end reports that the epoch has ended.
func (m *meter) end(e Epoch) {
	if m.options.Progress != nil {
		m.last.Ended = &e
		m.options.Progress(m.last)
	}
}
