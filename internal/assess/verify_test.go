package assess

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay"
	"assay/internal/evidence"
	"assay/internal/report"
	"assay/internal/signing"
)

// verified verifies the bench's run, and gives what is wrong with it.
func (b *bench) verified(trusted ...signing.PublicKey) *Verification {
	b.t.Helper()
	r, err := Read(b.run())
	if err != nil {
		b.t.Fatal(err)
	}
	v, err := b.engine.Verify(r, nil, trusted...)
	if err != nil {
		b.t.Fatal(err)
	}
	return v
}

// edit changes decisions.json, as somebody would who does not like them.
func (b *bench) edit(change func(d []report.Decision)) {
	b.t.Helper()
	run, err := evidence.Open(b.run())
	if err != nil {
		b.t.Fatal(err)
	}
	var decisions []report.Decision
	if err := run.Get(decisionsFile, &decisions); err != nil {
		b.t.Fatal(err)
	}
	change(decisions)
	if err := run.Put(decisionsFile, decisions); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) sign(key *signing.Key) {
	b.t.Helper()
	run, err := evidence.Open(b.run())
	if err != nil {
		b.t.Fatal(err)
	}
	if err := run.Seal(key, evidence.TestResult{Result: "PASSED"}); err != nil {
		b.t.Fatal(err)
	}
}

func TestVerify(t *testing.T) {
	b := newBench(t, twoModels)
	r := b.finished()
	v := b.verified(b.key.Public())
	if len(v.Problems) != 0 || len(v.Void) != 0 || !v.Trusted || evidence.DigestOf(v.Decisions) != evidence.DigestOf(r.Decisions) {
		t.Errorf("%+v", v)
	}
}

// TestVerifyMakesDecisionsAgain: a signature does not make a decision true, whoever's it is.
func TestVerifyMakesDecisionsAgain(t *testing.T) {
	b := newBench(t, twoModels)
	b.finished()
	b.edit(func(d []report.Decision) { d[0].Outcome, d[0].Reason = assay.Adequate, "All is well." })
	stranger, _, err := signing.OpenKey(filepath.Join(t.TempDir(), "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]*signing.Key{"owner": b.key, "stranger": stranger} {
		b.sign(key)
		v := b.verified(b.key.Public())
		if len(v.Problems) != 1 || v.Problems[0].String() != "decisions.json: the records lead to other decisions" || v.Trusted != (key == b.key) {
			t.Errorf("%s: trusted %v, %v", name, v.Trusted, v.Problems)
		}
		if v.Decisions[0].Outcome != assay.Inadequate {
			t.Errorf("%s: the records lead to %s", name, v.Decisions[0].Outcome)
		}
	}
}

// TestVerifyFindsAnotherPlan is about limits that are edited in the plan, the lock and the decisions alike.
func TestVerifyFindsAnotherPlan(t *testing.T) {
	b := newBench(t, twoModels)
	b.finished()
	run, err := evidence.Open(b.run())
	if err != nil {
		t.Fatal(err)
	}
	plan := &Plan{}
	if err := run.Get(planFile, plan); err != nil {
		t.Fatal(err)
	}
	plan.Decisions[0].Criterion.Limit = 0.9
	plan.Decisions[0].Digest = plan.Decisions[0].lockDigest()
	l := &Lock{Schema: lockSchema}
	l.Fix(plan.Decisions, noon)
	decisions, err := b.engine.Judge(run, plan, nil)
	if err != nil || decisions[0].Outcome == assay.Inadequate {
		t.Fatalf("the edit does not help whoever made it: %+v, %v", decisions[0], err)
	}
	for name, v := range map[string]any{planFile: plan, lockFile: l, decisionsFile: decisions} {
		if err := run.Put(name, v); err != nil {
			t.Fatal(err)
		}
	}
	b.sign(b.key)
	v := b.verified(b.key.Public())
	if len(v.Problems) != 1 || v.Problems[0].String() != "plan.json: it is not the plan that the manifest names" {
		t.Error(v.Problems)
	}
}

func TestVerifyMissingRecords(t *testing.T) {
	b := newBench(t, twoModels)
	b.finished()
	for _, name := range shardsOf(files(t, b.run())) {
		if err := os.Remove(filepath.Join(b.run(), filepath.FromSlash(name))); err != nil {
			t.Fatal(err)
		}
	}
	b.sign(b.key)
	if v := b.verified(); len(v.Problems) != 1 || v.Problems[0].File != decisionsFile {
		t.Error(v.Problems)
	}
}

// TestFinishedRunIsNotRepaired: a run that was changed since it was signed is refused, not signed again.
func TestFinishedRunIsNotRepaired(t *testing.T) {
	b := newBench(t, twoModels)
	b.finished()
	b.edit(func(d []report.Decision) { d[0].Outcome = assay.Adequate })
	if _, err := b.assess(t.Context()); err == nil || assay.CodeOf(err) != assay.CodeEvidence || !strings.Contains(err.Error(), "was changed since (decisions.json: it was changed after the run was signed)") {
		t.Error(err)
	}
}

func TestRerun(t *testing.T) {
	b := newBench(t, twoModels)
	b.finished()
	r, err := Read(b.run())
	if err != nil {
		t.Fatal(err)
	}
	all, differ, err := b.engine.Rerun(t.Context(), r, nil)
	if err != nil || all < 200 || len(differ) != 0 {
		t.Fatalf("%d, %v, %v", all, differ, err)
	}
	unit := r.Plan.Tests[0].order()[5]
	if n, _, err := b.engine.Rerun(t.Context(), r, []int{unit}); err != nil || n != 2 {
		t.Errorf("unit %d: %d observations, %v", unit, n, err)
	}
	if _, _, err := b.engine.Rerun(t.Context(), r, []int{1 << 20}); err == nil || !strings.Contains(err.Error(), "none of the units") {
		t.Error(err)
	}
	b.engine.Testers[assay.Evasion] = &liar{b.coins}
	if n, differ, err := b.engine.Rerun(t.Context(), r, []int{unit}); err != nil || n != 2 || len(differ) != 2 || differ[0].Unit != unit {
		t.Errorf("%d, %v, %v", n, differ, err)
	}
}

// liar sees the contrary of what there is.
type liar struct{ *coins }

func (l *liar) Observe(ctx context.Context, t *Test, units []int) ([]Observation, error) {
	observed, err := l.coins.Observe(ctx, t, units)
	for i := range observed {
		observed[i].Outcomes[ablationMetric] = !observed[i].Outcomes[ablationMetric]
	}
	return observed, err
}

// FuzzRun puts files from elsewhere into a run: reading, verifying, repeating and reporting it
// must give an error or a result, never a panic.
func FuzzRun(f *testing.F) {
	b := newBench(f, twoModels)
	b.finished()
	whole := files(f, b.run())
	kinds := fuzzed(whole)
	text := map[string]string{}
	for kind, name := range kinds {
		text[kind] = whole[name]
	}
	run, err := evidence.Open(b.run())
	if err != nil {
		f.Fatal(err)
	}
	first, err := evidence.Records[Observation](run, kinds["shard"])
	if err != nil {
		f.Fatal(err)
	}
	lines := ""
	for _, o := range first[:4] {
		line, err := json.Marshal(o)
		if err != nil {
			f.Fatal(err)
		}
		lines += string(line) + "\n"
	}
	f.Add(text["plan"], lines, text["control"], text["clean"], text["decisions"], text["lock"])
	for _, damage := range [][2]string{
		{`"baseline": "`, `"baseline": "none`}, {`"records": 2000`, `"records": -1`}, {`"records": 2000`, `"records": 2000000000`},
		{`"n": 1000`, `"n": 1000000000`}, {`"vulnerability": "evasion"`, `"vulnerability": "model-flaw"`}, {`"confidence": 0.95`, `"confidence": 7`},
		{`"limit": 0.1`, `"limit": -1e300`}, {`"tests": [`, `"tests": [null, `}, {`"metric": "clean-accuracy-loss"`, `"metric": "attack-success-rate"`},
	} {
		if !strings.Contains(text["plan"], damage[0]) {
			f.Fatalf("the plan has no %s", damage[0])
		}
		f.Add(strings.ReplaceAll(text["plan"], damage[0], damage[1]), lines, text["control"], text["clean"], text["decisions"], text["lock"])
	}
	f.Add(text["plan"], "{}\n{\"unit\":-5}\n", "null", "[]", "null", "null")
	f.Add("null", "null", "", "null", "[{}]", "{}")
	folder := b.folder
	f.Fuzz(func(t *testing.T, plan, shard, control, clean, decisions, lock string) {
		b := (&bench{t: t, coins: newCoins(2000), key: b.key}).moved(t.TempDir())
		if err := copyOf(folder, b.folder); err != nil {
			t.Fatal(err)
		}
		run, err := evidence.Open(b.run())
		if err != nil {
			t.Fatal(err)
		}
		for kind, text := range map[string]string{"plan": plan, "shard": packed(t, shard), "control": control, "clean": clean, "decisions": decisions, "lock": lock} {
			if err := run.Write(kinds[kind], []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		r, err := Read(b.run())
		if err != nil {
			return
		}
		v, err := b.engine.Verify(r, nil)
		if err != nil {
			return
		}
		if len(v.Problems) == 0 && plan != whole[planFile] {
			t.Error("another plan was not found")
		}
		if _, _, err := b.engine.Rerun(t.Context(), r, nil); err != nil && assay.CodeOf(err) == assay.CodeInternal && strings.Contains(err.Error(), "a fault of assay") {
			t.Error(err)
		}
		if v.Decisions == nil {
			return
		}
		if _, err := b.engine.Document(run, r.Plan, v.Decisions, v.Void); err != nil {
			return
		}
	})
}

func packed(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// fuzzed gives a file of each kind that is replaced.
func fuzzed(whole map[string]string) map[string]string {
	kinds := map[string]string{"plan": planFile, "decisions": decisionsFile, "lock": lockFile}
	for _, name := range slices.Sorted(maps.Keys(whole)) {
		for kind, folder := range map[string]string{"shard": observationsFolder + "/", "control": "controls/", "clean": "clean/"} {
			if strings.HasPrefix(name, folder) && kinds[kind] == "" {
				kinds[kind] = name
			}
		}
	}
	return kinds
}
