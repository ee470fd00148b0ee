package assess

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"assay"
	"assay/internal/criteria"
	"assay/internal/evidence"
)

// Engine runs plans.
type Engine struct {
	Testers  map[assay.Vulnerability]Tester
	Workers  int            // shards at once; results do not depend on it
	Progress func(Progress) // called from one goroutine at a time; may be nil

	mu sync.Mutex // for Progress
}

// Progress tells how far a run is.
type Progress struct {
	Test        string // its title
	Step        string // what is done, such as "attack"
	Done, Total int    // units; Total is the most there can be
	Spent       time.Duration
}

// shardSize is how many units a shard has, unless the tester wants fewer. Shards are what a run is
// resumed by, and what its files hold: another size would be another run.
const shardSize = 32

// The files of a run.
const (
	planFile      = "plan.json"
	lockFile      = "assay.lock"
	decisionsFile = "decisions.json"
)

// observationsFolder holds the observations of all tests.
const observationsFolder = "observations"

func shardFile(test string, shard int) string {
	return fmt.Sprintf("%s/%s/%04d.jsonl.gz", observationsFolder, test, shard)
}

func controlFile(test, name string) string { return fmt.Sprintf("controls/%s/%s.json", test, name) }
func cleanFile(test string) string         { return fmt.Sprintf("clean/%s.json", test) }
func presentFile(test string) string       { return fmt.Sprintf("tests/%s.json", test) }

// Observe makes all observations of a plan that a run folder does not have yet.
func (e *Engine) Observe(ctx context.Context, run *evidence.Run, p *Plan) error {
	shards := map[string]int{} // how many each test has
	for _, t := range p.primary() {
		n, err := e.untilSettled(ctx, run, p, t)
		if err != nil {
			return testError(t, err)
		}
		shards[t.ID] = max(shards[t.ID], n)
	}
	for _, d := range p.Decisions {
		if d.Baseline == "" {
			continue
		}
		t := p.test(d.Baseline)
		units := shards[d.Test] * p.test(d.Test).shardSize()
		shards[t.ID] = max(shards[t.ID], min(parts(units, t.shardSize()), t.shards()))
		if err := e.observe(ctx, run, t, shards[t.ID], nil); err != nil {
			return testError(t, err)
		}
	}
	if err := e.controlAll(ctx, run, p.primary()); err != nil {
		return err
	}
	if err := e.clean(ctx, run, p); err != nil {
		return err
	}
	return dropShards(run, p, shards)
}

func testError(t *Test, err error) error {
	if errors.Is(err, context.Canceled) || assay.CodeOf(err) == assay.CodeInput {
		return err // which names the place itself
	}
	return fmt.Errorf("%s: %w", t.Title, err)
}

// untilSettled observes shard by shard until every decision that rests on the test
// is settled, or the data are at their end. It gives the number of shards that that took.
func (e *Engine) untilSettled(ctx context.Context, run *evidence.Run, p *Plan, t *Test) (int, error) {
	var watches []*watch
	for _, d := range p.Decisions {
		if d.Test == t.ID {
			w, err := newWatch(p.criterion(&d))
			if err != nil {
				return 0, err
			}
			watches = append(watches, w)
		}
	}
	shards, done := 0, 0
	err := e.observe(ctx, run, t, t.shards(), func(observed []Observation) bool {
		shards++
		done += len(observed)
		settled := true
		for _, w := range watches {
			settled = w.see(observed) && settled
		}
		return settled
	})
	return shards, err
}

// watch tells when a criterion needs no more observations.
type watch struct {
	metric  string
	monitor *criteria.Monitor
	settled bool
}

func newWatch(c criteria.Criterion) (*watch, error) {
	m, err := criteria.NewMonitor(c)
	return &watch{metric: c.Metric, monitor: m}, err
}

func (w *watch) see(observed []Observation) bool {
	for _, o := range observed {
		if event, counts := o.Outcomes[w.metric]; counts && !w.settled {
			w.settled = w.monitor.Observe(event)
		}
	}
	return w.settled
}

// observe makes the first n shards of a test, several at once, and shows them to
// each in their order until that says it is enough.
func (e *Engine) observe(ctx context.Context, run *evidence.Run, t *Test, n int, each func([]Observation) bool) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		shard    int
		observed []Observation
		err      error
	}
	order, started := t.order(), time.Now()
	results := make(chan result)
	ready := map[int][]Observation{}
	next, seen, running, units := 0, 0, 0, 0
	var failed error
	enough := false
	for {
		for failed == nil && !enough && next < n && running < max(e.Workers, 1) {
			go func(shard int) {
				observed, err := guard(func() ([]Observation, error) { return e.shard(ctx, run, t, shard, order) })
				results <- result{shard, observed, err}
			}(next)
			next++
			running++
		}
		if running == 0 {
			return failed
		}
		r := <-results
		running--
		if r.err != nil && failed == nil && !enough {
			failed = r.err
			cancel()
		}
		ready[r.shard] = r.observed
		for failed == nil && !enough && ready[seen] != nil {
			units += len(ready[seen])
			e.report(Progress{Test: t.Title, Step: "attack", Done: units, Total: min(n*t.shardSize(), len(order)), Spent: time.Since(started)})
			if each != nil && each(ready[seen]) {
				enough = true
				cancel()
			}
			delete(ready, seen)
			seen++
		}
	}
}

// shard gives a shard's observations: those on disk, or new ones, which it writes there.
func (e *Engine) shard(ctx context.Context, run *evidence.Run, t *Test, shard int, order []int) ([]Observation, error) {
	name := shardFile(t.ID, shard)
	units := order[shard*t.shardSize() : min((shard+1)*t.shardSize(), len(order))]
	if run.Has(name) {
		observed, err := evidence.Records[Observation](run, name)
		if err == nil {
			err = sameUnits(observed, units)
		}
		return observed, err
	}
	observed, err := e.Testers[t.Vulnerability].Observe(ctx, t, units)
	if err != nil {
		return nil, err
	}
	if err := sameUnits(observed, units); err != nil {
		return nil, err
	}
	return observed, evidence.PutRecords(run, name, observed)
}

func sameUnits(observed []Observation, units []int) error {
	if !slices.EqualFunc(observed, units, func(o Observation, u int) bool { return o.Unit == u }) {
		return errors.New("a shard of observations is about other units than planned: the run folder is damaged")
	}
	return nil
}

// controlAll makes the runs that show whether the tests could have found a failure, several at once.
func (e *Engine) controlAll(ctx context.Context, run *evidence.Run, tests []*Test) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	started := time.Now()
	free := make(chan struct{}, max(e.Workers, 1))
	var done, total atomic.Int64
	var all sync.WaitGroup
	for _, t := range tests {
		for _, name := range e.Testers[t.Vulnerability].Controls(t) {
			total.Add(1)
			all.Go(func() {
				free <- struct{}{}
				defer func() { <-free }()
				if ctx.Err() != nil {
					return
				}
				if _, err := guard(func() (any, error) { return nil, e.control(ctx, run, t, name) }); err != nil {
					stop(testError(t, fmt.Errorf("control %s: %w", name, err)))
				}
				e.report(Progress{Test: t.Title, Step: "controls", Done: int(done.Add(1)), Total: int(total.Load()), Spent: time.Since(started)})
			})
		}
	}
	all.Wait()
	return context.Cause(ctx)
}

func (e *Engine) control(ctx context.Context, run *evidence.Run, t *Test, name string) error {
	if run.Has(controlFile(t.ID, name)) {
		return nil
	}
	found, err := e.Testers[t.Vulnerability].Control(ctx, t, name, t.order())
	if err != nil {
		return err
	}
	return run.Put(controlFile(t.ID, name), found)
}

// maxClean is how many records the cost in accuracy is measured on.
const maxClean = 10000

// clean asks models about untouched records, where a criterion limits what that costs.
func (e *Engine) clean(ctx context.Context, run *evidence.Run, p *Plan) error {
	for _, d := range p.Decisions {
		if d.Test == "" || len(d.Criterion.Costs) == 0 {
			continue
		}
		for _, id := range []string{d.Test, d.Baseline} {
			if id == "" || run.Has(cleanFile(id)) {
				continue
			}
			t := p.test(id)
			order := t.order()
			right, err := e.Testers[t.Vulnerability].Clean(ctx, t, order[:min(len(order), maxClean)])
			if err != nil {
				return testError(t, err)
			}
			if err := run.Put(cleanFile(id), right); err != nil {
				return err
			}
		}
	}
	return nil
}

// dropShards removes what several workers observed beyond the point where it was settled.
func dropShards(run *evidence.Run, p *Plan, shards map[string]int) error {
	for _, t := range p.Tests {
		for shard := shards[t.ID]; shard < t.shards(); shard++ {
			if err := run.Remove(shardFile(t.ID, shard)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (e *Engine) report(p Progress) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.Progress != nil {
		e.Progress(p)
	}
}

// shards is how many shards all of the data make.
func (t *Test) shards() int { return parts(t.Outline.Records, t.shardSize()) }

func (t *Test) shardSize() int { return cmp.Or(t.Outline.Shard, shardSize) }

// parts is how many parts of a size it takes for n units.
func parts(n, size int) int { return (n + size - 1) / size }

func (t *Test) order() []int { return t.Order(t.Outline.Records) }

// Order is the order in which so many records are tested, drawn from the seed: the same for
// every test of the same data, so that systems with and without a measure meet the same units.
func (t *Test) Order(records int) []int {
	r := rand.New(rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "order\x00%d\x00%s", t.Seed, t.Data))))
	return r.Perm(records)
}

// observed reads all observations of a test, in their order.
func observed(run *evidence.Run, t *Test) ([]Observation, error) {
	var all []Observation
	for shard := 0; run.Has(shardFile(t.ID, shard)); shard++ {
		some, err := evidence.Records[Observation](run, shardFile(t.ID, shard))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// controlled reads the controls of a test.
func controlled(run *evidence.Run, tester Tester, t *Test) (map[string]json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	for _, name := range tester.Controls(t) {
		if !run.Has(controlFile(t.ID, name)) {
			continue // the check that needs it says so
		}
		text, err := run.Read(controlFile(t.ID, name))
		if err != nil {
			return nil, err
		}
		all[name] = text
	}
	return all, nil
}
