package assess

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"assay"
	"assay/internal/evidence"
)

// shuffled keeps workers from ending in the order in which they began.
func shuffled(ctx context.Context, _ *Test, units []int) error {
	select {
	case <-ctx.Done():
	case <-time.After(time.Duration(units[0]*7919%4000) * time.Microsecond):
	}
	return ctx.Err()
}

func TestSameBytesWithAnyNumberOfWorkers(t *testing.T) {
	b := newBench(t, twoModels)
	b.coins.each = shuffled
	var want map[string]string
	for _, workers := range []int{1, 2, 5} {
		b.restart(workers)
		if err := errors.Join(os.RemoveAll(b.run()), os.RemoveAll(filepath.Join(b.folder, lockName))); err != nil {
			t.Fatal(err)
		}
		r := b.finished()
		if r.Decisions[0].Outcome != assay.Inadequate || r.Decisions[1].Outcome != assay.Adequate {
			t.Fatalf("%s and %s: %s", r.Decisions[0].Outcome, r.Decisions[1].Outcome, r.Decisions[1].Reason)
		}
		if want == nil {
			want = files(t, b.run())
		}
		same(t, fmt.Sprint(workers, " workers"), files(t, b.run()), want)
	}
}

// TestStopped cancels a run after so many shards, and goes on with it.
func TestStopped(t *testing.T) {
	whole := newBench(t, twoModels)
	whole.finished()
	want := files(t, whole.run())
	total := len(shardsOf(want))
	if total < 5 {
		t.Fatalf("only %d shards", total)
	}
	for stop := 1; stop <= total; stop++ {
		b := newBench(t, twoModels)
		b.key = whole.key
		ctx, cancel := context.WithCancel(context.Background())
		var begun atomic.Int32
		b.coins.each = func(ctx context.Context, _ *Test, _ []int) error {
			if int(begun.Add(1)) >= stop {
				cancel()
			}
			return ctx.Err()
		}
		if _, err := b.assess(ctx); !errors.Is(err, context.Canceled) {
			t.Fatalf("stopped at shard %d: %v", stop, err)
		}
		cancel()
		b.coins.each = nil
		kept := files(t, b.run())
		b.restart(2)
		b.finished()
		same(t, fmt.Sprintf("stopped at shard %d", stop), files(t, b.run()), want)
		b.noneTwice(kept)
	}
}

func shardsOf(files map[string]string) (names []string) {
	for name := range files {
		if strings.HasPrefix(name, observationsFolder+"/") && !strings.HasSuffix(name, ".partial") {
			names = append(names, name)
		}
	}
	return names
}

// noneTwice fails where something was computed again that a run had kept.
func (b *bench) noneTwice(kept map[string]string) {
	b.t.Helper()
	run, err := evidence.Open(b.run())
	if err != nil {
		b.t.Fatal(err)
	}
	plan := &Plan{}
	if err := run.Get(planFile, plan); err != nil {
		b.t.Fatal(err)
	}
	for _, t := range plan.Tests {
		for shard := range t.shards() {
			name := shardFile(t.ID, shard)
			if _, ok := kept[name]; !ok || !run.Has(name) {
				continue
			}
			for _, u := range t.order()[shard*shardSize : min((shard+1)*shardSize, t.Outline.Records)] {
				if n := b.coins.calls[fmt.Sprintf("%s %d", t.Model, u)]; n != 0 {
					b.t.Errorf("unit %d of %s was kept, and observed again", u, t.Model)
				}
			}
		}
		for _, name := range b.coins.Controls(t) {
			if _, ok := kept[controlFile(t.ID, name)]; ok && b.coins.calls["control "+t.Model+" "+name] != 0 {
				b.t.Errorf("the control %s of %s was kept, and made again", name, t.Model)
			}
		}
		if _, ok := kept[cleanFile(t.ID)]; ok && b.coins.calls["clean "+t.Model] != 0 {
			b.t.Errorf("the clean accuracy of %s was kept, and measured again", t.Model)
		}
	}
	for what, n := range b.coins.calls {
		if n > 1 {
			b.t.Errorf("%s: %d times in one run", what, n)
		}
	}
}

// TestKilled copies the folder at random moments, which is what a process that is killed
// then leaves, and goes on with each copy.
func TestKilled(t *testing.T) {
	b := newBench(t, twoModels)
	random := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex
	var copies []string
	snapshot := func(chance float64) {
		mu.Lock()
		defer mu.Unlock()
		if random.Float64() >= chance || len(copies) == 30 {
			return
		}
		to := t.TempDir()
		if err := copyOf(b.folder, to); err != nil {
			t.Error(err)
		}
		copies = append(copies, to)
	}
	b.coins.each = func(ctx context.Context, test *Test, units []int) error {
		snapshot(0.5)
		return shuffled(ctx, test, units)
	}
	b.engine.Progress = func(Progress) { snapshot(0.3) }
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // and at moments that are nobody's
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				snapshot(1)
			}
		}
	}()
	b.finished()
	snapshot(1)
	close(stop)
	<-stopped
	want := files(t, b.run())
	if len(copies) < 10 {
		t.Fatalf("only %d copies", len(copies))
	}
	for i, folder := range copies {
		again := b.moved(folder)
		kept := map[string]string{}
		if _, err := os.Stat(again.run()); err == nil {
			kept = files(t, again.run())
		}
		again.finished()
		same(t, fmt.Sprintf("copy %d of %d, with %d shards", i, len(copies), len(shardsOf(kept))), files(t, again.run()), want)
		again.noneTwice(kept)
	}
}

// TestHalfAFile is about a process that died while it wrote.
func TestHalfAFile(t *testing.T) {
	b := newBench(t, twoModels)
	b.finished()
	want := files(t, b.run())
	name := shardsOf(want)[0]
	path := filepath.Join(b.run(), filepath.FromSlash(name))
	if err := errors.Join(os.Remove(filepath.Join(b.run(), evidence.AttestationFile)), os.Rename(path, path+".123.partial")); err != nil {
		t.Fatal(err)
	}
	b.finished()
	same(t, "half a shard", files(t, b.run()), want)
}

func TestSequentialStops(t *testing.T) {
	b := newBench(t, twoModels)
	b.restart(5)
	r := b.finished()
	run := r.Run
	plan := &Plan{}
	if err := run.Get(planFile, plan); err != nil {
		t.Fatal(err)
	}
	shards := map[string]int{}
	for _, test := range plan.Tests {
		names, err := run.Names(observationsFolder + "/" + test.ID)
		if err != nil {
			t.Fatal(err)
		}
		shards[test.ID] = len(names)
		for i := range names {
			if !run.Has(shardFile(test.ID, i)) {
				t.Errorf("%s has a gap at shard %d", test.Title, i)
			}
		}
	}
	for i, d := range plan.Decisions {
		n := 0
		for shard := range shards[d.Test] - 1 { // one fewer must not have been enough
			some, err := evidence.Records[Observation](run, shardFile(d.Test, shard))
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range some {
				if _, counts := o.Outcomes[d.Criterion.Metric]; counts {
					n++
				}
			}
		}
		// The plain model is decided sooner than its test, which serves as a baseline too, goes on.
		if used := r.Decisions[i].N; used == 0 || d.Baseline != "" && used <= n || shards[d.Test]*shardSize >= b.coins.records {
			t.Errorf("%s: decided at %d, with %d observations in all shards but the last of %d", d.ID, used, n, shards[d.Test])
		}
		if d.Baseline != "" && shards[d.Baseline] < shards[d.Test] {
			t.Errorf("%s: %d shards with the solution, and %d without", d.ID, shards[d.Test], shards[d.Baseline])
		}
	}
	if d := r.Decisions[1]; d.Ablation == nil || d.Ablation.N != shards[d.Test]*shardSize || d.Ablation.With <= d.Ablation.Without {
		t.Errorf("%+v", d.Ablation)
	}
}

// TestSmallShards: where units cost much each is kept by itself, and a test may be compared with one
// whose shards are larger.
func TestSmallShards(t *testing.T) {
	b := newBench(t, twoModels)
	b.coins.shard = map[string]int{"hardened-2": 1}
	r := b.finished()
	plan := &Plan{}
	if err := r.Run.Get(planFile, plan); err != nil {
		t.Fatal(err)
	}
	with, err := r.Run.Names(observationsFolder + "/" + plan.Decisions[1].Test)
	if err != nil {
		t.Fatal(err)
	}
	without, err := r.Run.Names(observationsFolder + "/" + plan.Decisions[1].Baseline)
	if err != nil {
		t.Fatal(err)
	}
	if len(with) < 50 || len(without) != parts(len(with), shardSize) || r.Decisions[1].Ablation.N != len(with) || r.Decisions[1].Outcome != assay.Adequate {
		t.Errorf("%d units with and %d shards without, compared on %d: %s", len(with), len(without), r.Decisions[1].Ablation.N, r.Decisions[1].Reason)
	}
	want := files(t, b.run())
	other := newBench(t, twoModels)
	other.key, other.coins.shard = b.key, b.coins.shard
	other.restart(5)
	other.finished()
	same(t, "five workers", files(t, other.run()), want)
}

// TestTesterFails: the error names the test, nothing that was observed is lost, and the same command goes on.
func TestTesterFails(t *testing.T) {
	whole := newBench(t, twoModels)
	whole.finished()
	want := files(t, whole.run())
	for name, c := range map[string]struct {
		fail func() error
		code assay.Code
		want string
	}{
		"error":       {func() error { return errors.New("the model melted") }, assay.CodeInternal, "hardened-2 on test, Linf up to 0.05: the model melted"},
		"coded error": {func() error { return assay.WithCode(assay.CodeEndpoint, errors.New("no answer")) }, assay.CodeEndpoint, "no answer"},
		"panic":       {func() error { panic("index out of range") }, assay.CodeInternal, "a fault of assay itself, please report it: index out of range"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, twoModels)
			b.key = whole.key
			var shards atomic.Int32
			b.coins.each = func(_ context.Context, test *Test, _ []int) error {
				if test.Model != "hardened-2" || shards.Add(1) < 4 {
					return nil
				}
				return c.fail()
			}
			_, err := b.assess(context.Background())
			if err == nil || !strings.Contains(err.Error(), c.want) || assay.CodeOf(err) != c.code {
				t.Fatalf("%s: %v", assay.CodeOf(err), err)
			}
			kept := files(t, b.run())
			if len(shardsOf(kept)) < 3 {
				t.Errorf("only %d shards are left", len(shardsOf(kept)))
			}
			b.coins.each = nil
			b.restart(2)
			b.finished()
			same(t, "after a failure", files(t, b.run()), want)
			b.noneTwice(kept)
		})
	}
}

// TestOtherUnits is about a tester that mixes its units up.
func TestOtherUnits(t *testing.T) {
	b := newBench(t, twoModels)
	b.engine.Testers[assay.Evasion] = &mixedUp{b.coins}
	if _, err := b.assess(context.Background()); err == nil || !strings.Contains(err.Error(), "other units than planned") {
		t.Error(err)
	}
	if n := len(shardsOf(files(t, b.run()))); n != 0 {
		t.Errorf("%d such shards were written", n)
	}
}

type mixedUp struct{ *coins }

func (m *mixedUp) Observe(ctx context.Context, t *Test, units []int) ([]Observation, error) {
	observed, err := m.coins.Observe(ctx, t, units)
	slices.Reverse(observed)
	return observed, err
}

// A control that panics must not end the program either.
func TestPanicBeyondObserving(t *testing.T) {
	b := newBench(t, twoModels)
	b.engine.Testers[assay.Evasion] = &controlPanics{b.coins}
	if _, err := b.assess(context.Background()); err == nil || !strings.Contains(err.Error(), "control one: a fault of assay itself, please report it: broken control") {
		t.Error(err)
	}
}

type controlPanics struct{ *coins }

func (c *controlPanics) Controls(*Test) []string { return []string{"one"} }

func (c *controlPanics) Control(context.Context, *Test, string, []int) (json.RawMessage, error) {
	panic("broken control")
}
