package assess

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"assay"
	"assay/internal/catalog"
	"assay/internal/criteria"
	"assay/internal/report"
	"assay/internal/signing"
	"assay/internal/system"
)

// coins is a Tester whose units are flipped coins: the model and the unit alone decide. A model's
// name ends with the percentage of its units that are broken, as in hardened-2.
type coins struct {
	records int
	each    func(ctx context.Context, t *Test, units []int) error // called before units are observed
	shard   map[string]int                                        // units of a shard, by model
	passed  bool                                                  // what the one check says

	mu    sync.Mutex
	calls map[string]int // of Observe by model and unit, of Control and Clean by model
}

func newCoins(records int) *coins {
	return &coins{records: records, passed: true, calls: map[string]int{}}
}

func (c *coins) count(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls[fmt.Sprintf(format, args...)]++
}

func broken(model string, unit int) bool {
	var share int
	_, rate, _ := strings.Cut(model, "-")
	if _, err := fmt.Sscan(rate, &share); err != nil {
		return false // a plan from elsewhere
	}
	h := fnv.New64a()
	fmt.Fprintf(h, "%s %d", model, unit)
	return int(h.Sum64()>>20%100) < share
}

func (c *coins) Outline(_ context.Context, t *Test) (*Outline, error) {
	return &Outline{Records: c.records, Shard: c.shard[t.Model], Methods: []report.Method{{Name: "coin"}}, Queries: 1, Seconds: 0.1}, nil
}

func (c *coins) Observe(ctx context.Context, t *Test, units []int) ([]Observation, error) {
	if c.each != nil {
		if err := c.each(ctx, t, units); err != nil {
			return nil, err
		}
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	for _, u := range units {
		c.count("%s %d", t.Model, u)
	}
	var out []Observation
	for _, u := range units {
		o := Observation{Unit: u, Outcomes: map[string]bool{ablationMetric: !broken(t.Model, u)}, Detail: json.RawMessage(fmt.Sprintf(`{"coin":%d}`, u))}
		if u%7 != 0 { // the model gets the seventh wrong
			o.Outcomes["attack-success-rate"] = broken(t.Model, u)
		}
		out = append(out, o)
	}
	return out, nil
}

func (c *coins) Controls(*Test) []string { return []string{"one", "two"} }

func (c *coins) Control(_ context.Context, t *Test, name string, order []int) (json.RawMessage, error) {
	c.count("control %s %s", t.Model, name)
	return json.Marshal(map[string]any{"name": name, "first": order[0]})
}

func (c *coins) Checks(_ *Test, _ []Observation, controls map[string]json.RawMessage) ([]criteria.Check, error) {
	var checks []criteria.Check
	for _, k := range criteria.CheckKinds() {
		checks = append(checks, criteria.Check{Name: k.Name, Passed: c.passed && len(controls) == 2, Detail: "by the coin"})
	}
	return checks, nil
}

func (c *coins) Clean(_ context.Context, t *Test, units []int) ([]bool, error) {
	c.count("clean %s", t.Model)
	right := make([]bool, len(units))
	for i, u := range units {
		right[i] = u%50 != 0
	}
	return right, nil
}

func (c *coins) Present(_ context.Context, t *Test, seen []Observation, _ map[string]json.RawMessage) (*report.Test, error) {
	return &report.Test{Attacker: []report.Fact{}, Methods: t.Outline.Methods, N: len(seen)}, nil
}

const twoModels = `version: 1
system: {name: coins, stage: verification, modality: tabular, risk: medium}
models:
  - {name: plain-60, file: plain.onnx}
  - {name: hardened-2, file: hardened.onnx}
data:
  - {name: test, file: test.csv, label: y}
solutions:
  - {name: none, cells: [evasion/prevent], model: plain-60}
  - {name: training, cells: [evasion/prevent], model: hardened-2, without: plain-60}
goals:
  - {goal: evasion-prevent, solution: none, data: test}
  - {goal: evasion-prevent, solution: training, data: test}
`

// bench is a system in a folder with an engine of coins.
type bench struct {
	t      testing.TB
	folder string
	engine *Engine
	coins  *coins
	key    *signing.Key
}

func newBench(t testing.TB, description string) *bench {
	t.Helper()
	b := &bench{t: t, folder: t.TempDir(), coins: newCoins(2000)}
	b.write("assay.yaml", description)
	for _, name := range []string{"plain.onnx", "hardened.onnx", "test.csv", "other.csv"} {
		b.write(name, name)
	}
	var err error
	if b.key, _, err = signing.OpenKey(filepath.Join(t.TempDir(), "key.pem")); err != nil {
		t.Fatal(err)
	}
	b.restart(2)
	return b
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.folder, name), []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// restart begins as a new process does, with nothing known but what is on disk.
func (b *bench) restart(workers int) {
	each, records, passed, shard := b.coins.each, b.coins.records, b.coins.passed, b.coins.shard
	b.coins = newCoins(records)
	b.coins.each, b.coins.passed, b.coins.shard = each, passed, shard
	b.engine = &Engine{Testers: map[assay.Vulnerability]Tester{assay.Evasion: b.coins}, Workers: workers}
}

// moved is the same bench in another folder, which holds a copy.
func (b *bench) moved(folder string) *bench {
	other := &bench{t: b.t, folder: folder, coins: newCoins(b.coins.records), key: b.key}
	other.restart(2)
	return other
}

func (b *bench) system() *system.System {
	b.t.Helper()
	s, err := system.Open(filepath.Join(b.folder, "assay.yaml"))
	if err != nil {
		b.t.Fatal(err)
	}
	return s
}

func builtinCatalog(t testing.TB) *catalog.Catalog { return catalogWith(t) }

func catalogWith(t testing.TB, own ...string) *catalog.Catalog {
	t.Helper()
	c, err := catalog.Open(own...)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

var noon = time.Date(2026, 11, 2, 12, 0, 0, 0, time.UTC)

// tryPlan plans a description that may be refused at once.
func (b *bench) tryPlan() error {
	s, err := system.Open(filepath.Join(b.folder, "assay.yaml"))
	if err != nil {
		return err
	}
	_, err = b.engine.New(b.t.Context(), s, builtinCatalog(b.t), Setting{Description: s.Path("assay.yaml"), Now: clock})
	return err
}

func clock() time.Time { return noon }

func (b *bench) plan() (*Assessment, error) {
	b.t.Helper()
	return b.engine.New(context.Background(), b.system(), builtinCatalog(b.t), Setting{
		Description: filepath.Join(b.folder, "assay.yaml"), Folder: b.run(), Key: b.key, Now: clock,
	})
}

func (b *bench) run() string { return filepath.Join(b.folder, "runs", "run") }

func (b *bench) assess(ctx context.Context) (*Result, error) {
	b.t.Helper()
	a, err := b.plan()
	if err != nil {
		b.t.Fatal(err)
	}
	return a.Make(ctx)
}

// finished makes an assessment that must come to its end.
func (b *bench) finished() *Result {
	b.t.Helper()
	r, err := b.assess(context.Background())
	if err != nil {
		b.t.Fatal(err)
	}
	return r
}

// files gives what is in a folder.
func files(t testing.TB, folder string) map[string]string {
	t.Helper()
	all := map[string]string{}
	err := filepath.WalkDir(folder, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(p)
		rel, _ := filepath.Rel(folder, p)
		all[filepath.ToSlash(rel)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// same fails where two runs differ in a file.
func same(t *testing.T, what string, got, want map[string]string) {
	t.Helper()
	if len(want) < 10 {
		t.Fatalf("%s: only %d files to compare", what, len(want))
	}
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if text, ok := got[name]; !ok || text != want[name] {
			t.Errorf("%s: %s differs (there: %v)", what, name, ok)
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %s is too many", what, name)
		}
	}
}

// copyOf copies a folder while others write to it, as far as each file is there: what a killed
// process leaves behind.
func copyOf(from, to string) error {
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if os.IsNotExist(err) {
				return nil
			}
			return err
		}
		content, err := os.ReadFile(p)
		if os.IsNotExist(err) {
			return nil // renamed since
		}
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(filepath.Join(to, rel)), 0o755); err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), bytes.Clone(content), 0o600)
	})
}
