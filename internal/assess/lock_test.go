package assess

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"assay"
	"assay/internal/evidence"
)

// planned gives the decisions that a description asks for.
func planned(t *testing.T, description string) []PlannedDecision {
	t.Helper()
	b := newBench(t, description)
	p, err := b.engine.Resolve(b.system(), builtinCatalog(t))
	if err != nil {
		t.Fatal(err)
	}
	return p.Decisions
}

// with gives the description with the goal of the hardened model made another one.
func with(goal string) string {
	return strings.Replace(twoModels, "solution: training, data: test", "solution: training, "+goal, 1)
}

const edited = "evasion-prevent.training"

func TestVoid(t *testing.T) {
	run := planned(t, twoModels)
	l := &Lock{Schema: lockSchema}
	if changed := l.Fix(run, noon); len(changed) != 0 || len(l.Criteria) != 2 {
		t.Fatalf("%+v, %+v", changed, l)
	}
	if void := Void(run, l, nil); len(void) != 0 {
		t.Errorf("without a description at hand: %v", void)
	}
	if void := Void(run, l, run); len(void) != 0 {
		t.Errorf("nothing was edited: %v", void)
	}
	data := strings.Replace(with("data: other"), "data:\n", "data:\n  - {name: other, file: other.csv, label: y}\n", 1)
	for name, c := range map[string]struct{ description, want string }{
		"limit":      {with(`data: test, reason: r, criterion: {limit: 0.5}`), "its criterion was edited after the run (the limit was 0.1 and is 0.5)"},
		"confidence": {with(`data: test, reason: r, criterion: {confidence: 0.9}`), "the confidence was 0.95 and is 0.9"},
		"sampling":   {with(`data: test, reason: r, criterion: {sampling: {n: 900}}`), "another rule of sampling"},
		"costs":      {with(`data: test, reason: r, criterion: {costs: [{metric: clean-accuracy-loss, relation: at-most, limit: 0.5}]}`), "its costs or checks"},
		"attacker":   {with(`data: test, reason: r, attacker: {eps: 0.001}`), "another attacker"},
		"data":       {data, "the data were test and are other"},
		"removed":    {strings.Split(twoModels, "  - {goal: evasion-prevent, solution: training")[0], "does not ask for it any more"},
	} {
		void := Void(run, l, planned(t, c.description))
		if len(void) != 1 || !strings.Contains(void[edited], c.want) {
			t.Errorf("%s: %v", name, void)
		}
	}
}

func TestVoidByLock(t *testing.T) {
	run := planned(t, twoModels)
	whole := func() *Lock {
		l := &Lock{Schema: lockSchema}
		l.Fix(run, noon)
		return l
	}
	other := whole()
	other.Criteria[1].Digest = "00"
	fewer := whole()
	fewer.Criteria = fewer.Criteria[:1]
	plan := append([]PlannedDecision(nil), run...)
	plan[1].Criterion.Limit = 0.5 // and its digest left as it was
	for name, c := range map[string]struct {
		run  []PlannedDecision
		lock *Lock
		want string
	}{
		"another criterion locked": {run, other, "is not the one that was locked on 2026-11-02"},
		"not locked":               {run, fewer, "was not locked before the run"},
		"plan edited":              {plan, whole(), "is not the one that was locked on 2026-11-02"},
	} {
		void := Void(c.run, c.lock, nil)
		if len(void) != 1 || !strings.Contains(void[edited], c.want) {
			t.Errorf("%s: %v", name, void)
		}
	}
}

func TestFixKeepsWhatItReplaces(t *testing.T) {
	l := &Lock{Schema: lockSchema}
	first, second := planned(t, twoModels), planned(t, with(`data: test, reason: r, criterion: {limit: 0.5}`))
	l.Fix(first, noon)
	if again := l.Fix(first, noon.Add(time.Hour)); len(again) != 0 || !l.Criteria[0].Time.Equal(noon) {
		t.Errorf("the same criteria were locked again: %+v", l)
	}
	changed := l.Fix(second, noon.Add(time.Hour))
	if len(changed) != 1 || changed[0].Decision != edited || changed[0].Criterion.Limit != 0.1 {
		t.Errorf("%+v", changed)
	}
	l.Fix(first, noon.Add(2*time.Hour)) // back again: that it was another in between stays on record
	if len(l.Replaced) != 2 || len(l.Criteria) != 2 || !l.Criteria[1].Time.Equal(noon.Add(2*time.Hour)) {
		t.Errorf("%+v", l)
	}
}

func TestLockFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), lockName)
	l, err := OpenLock(path)
	if err != nil || len(l.Criteria) != 0 {
		t.Fatalf("%+v, %v", l, err)
	}
	l.Fix(planned(t, twoModels), noon)
	if err := l.Write(path); err != nil {
		t.Fatal(err)
	}
	again, err := OpenLock(path)
	if err != nil || evidence.DigestOf(again) != evidence.DigestOf(l) {
		t.Fatalf("%+v, %v", again, err)
	}
	for name, text := range map[string]string{"no JSON": "{", "another form": `{"schema":"assay-lock/9","criteria":[]}`, "unknown field": `{"schema":"assay-lock/1","also":1}`, "empty": ""} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenLock(path); err == nil || !strings.Contains(err.Error(), "is damaged (") || strings.Contains(err.Error(), "nil") || !strings.Contains(err.Error(), "version control") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDamagedLockStopsAssessing: nothing is observed under criteria that cannot be shown to be old.
func TestDamagedLockStopsAssessing(t *testing.T) {
	b := newBench(t, twoModels)
	b.write(lockName, "{")
	a, err := b.plan()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Make(t.Context()); err == nil || assay.CodeOf(err) != assay.CodeInput || !strings.Contains(err.Error(), lockName+" is damaged") {
		t.Error(err)
	}
	if len(b.coins.calls) != 0 {
		t.Errorf("%v was observed", b.coins.calls)
	}
}

// unfinished is a run that was stopped after it had observed something.
func unfinished(t *testing.T) *bench {
	b := newBench(t, twoModels)
	b.finished()
	if err := os.Remove(filepath.Join(b.run(), evidence.AttestationFile)); err != nil {
		t.Fatal(err)
	}
	b.restart(2)
	return b
}

func TestLockOfAnUnfinishedRun(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(path string) error
		want   string
	}{
		"damaged": {func(path string) error { return os.WriteFile(path, []byte("{"), 0o600) }, "is damaged"},
		"missing": {os.Remove, "nothing shows that the criteria were there first"},
	} {
		b := unfinished(t)
		if err := c.damage(filepath.Join(b.run(), lockFile)); err != nil {
			t.Fatal(err)
		}
		if _, err := b.assess(t.Context()); err == nil || assay.CodeOf(err) != assay.CodeEvidence || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestLockEditedInARun: the run goes on, and its evidence for that decision does not count.
func TestLockEditedInARun(t *testing.T) {
	b := unfinished(t)
	path := filepath.Join(b.run(), lockFile)
	l, err := OpenLock(path)
	if err != nil {
		t.Fatal(err)
	}
	l.Criteria[1].Digest = strings.Repeat("0", 64)
	if err := l.Write(path); err != nil {
		t.Fatal(err)
	}
	r := b.finished()
	if d := r.Decisions[1]; d.Outcome != assay.Invalid || !strings.Contains(d.Reason, "The evidence is void: its criterion is not the one that was locked") {
		t.Errorf("%s: %s", d.Outcome, d.Reason)
	}
	if d := r.Decisions[0]; d.Outcome != assay.Inadequate {
		t.Errorf("the other decision is %s", d.Outcome)
	}
}
