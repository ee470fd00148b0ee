package catalog

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay"
)

// TestDefault: the embedded catalogue is whole. Its validation says what else holds.
func TestDefault(t *testing.T) {
	c := Default()
	if len(c.Cells) != 25 || len(c.Goals) < 25 || len(c.Vulnerabilities) != 5 || len(c.Overrides) != 0 {
		t.Fatalf("%d cells, %d goals, %d vulnerabilities, %d overrides", len(c.Cells), len(c.Goals), len(c.Vulnerabilities), len(c.Overrides))
	}
	for i, cell := range assay.Cells() {
		if c.Cells[i].Cell != cell {
			t.Errorf("cell %d is %s, want %v: the Act's order", i, c.Cells[i].Cell, cell)
		}
		goals := c.GoalsOf(cell)
		if len(goals) == 0 {
			t.Errorf("%v has no goal", cell)
		}
		for _, g := range goals {
			if ids := c.IDs(g); len(ids) < 5 {
				t.Errorf("%s answers to %d ids", g.ID, len(ids))
			}
		}
	}
}

// TestIDs: an id says which catalogue it is of, in which version, and where it is.
func TestIDs(t *testing.T) {
	c := Default()
	g, err := c.Goal("evasion-prevent")
	if err != nil {
		t.Fatal(err)
	}
	ids := c.IDs(g)
	want := []ID{
		{"EU AI Act, Regulation (EU) 2024/1689", "OJ of 12 July 2024", "Art. 15(5)", "Cybersecurity; attacks by class and measures by function", "https://eur-lex.europa.eu/eli/reg/2024/1689/oj"},
		{"MITRE ATLAS", "data 5.6.0", "AML.T0015", "Evade AI Model", "https://atlas.mitre.org/techniques/AML.T0015"},
		{"MITRE ATLAS", "data 5.6.0", "AML.M0003", "", "https://atlas.mitre.org/mitigations/AML.M0003"},
		{"OWASP AI Exchange", "snapshot of 22 August 2026", "evasionrobustmodel", "", "https://owaspai.org/go/evasionrobustmodel/"},
		{"NIST AI 100-2 E2025", "March 2025", "NISTAML.022", "Evasion", "https://doi.org/10.6028/NIST.AI.100-2e2025"},
		{"ETSI EN 304 223", "V2.1.1 (December 2025)", "5.2.5-1", "Security assessment of all releases", ""},
	}
	for _, w := range want {
		if !slices.Contains(ids, w) {
			t.Errorf("%+v is not among the ids", w)
		}
	}
	seen := map[ID]bool{}
	for _, id := range ids {
		if seen[id] {
			t.Errorf("%s is there twice", id.ID)
		}
		seen[id] = true
		if id.URL != "" && !strings.HasPrefix(id.URL, "https://") {
			t.Errorf("%s has the address %s", id.ID, id.URL)
		}
	}
}

// poisoned tells goals whose attacker plants poison, and changes no inputs.
func poisoned(goal string) bool {
	return goal == "data-poisoning-detect" || goal == "data-poisoning-resolve" || goal == "data-poisoning-prevent-certified"
}

// sourcesControlled is the goal that is decided by a census of training data.
const sourcesControlled = "data-poisoning-control"

// TestTestable: criteria are proposed for what a method can test, and for nothing else.
func TestTestable(t *testing.T) {
	c := Default()
	proposed := 0
	for _, g := range c.Goals {
		for _, m := range assay.Modalities() {
			for _, l := range assay.Levels() {
				criterion, attacker, err := c.Criterion(g.ID, m, l)
				if testable := g.ID == "evasion-prevent" || poisoned(g.ID) && m != assay.Text || supplied(g.ID) || (g.ID == sourcesControlled || member(g.ID)) && m != assay.Text; testable != (err == nil) {
					t.Errorf("%s, %s, %s: %v", g.ID, m, l, err)
					continue
				}
				if err != nil {
					if !strings.Contains(err.Error(), g.Evidence[0]) {
						t.Errorf("%v: does not say what evidence it takes", err)
					}
					continue
				}
				proposed++
				if poisoned(g.ID) {
					if attacker.Plants(m) == nil || !slices.Contains(criterion.Checks, "positive-control") || !slices.Contains(criterion.Checks, "negative-control") {
						t.Errorf("%s, %s, %s: nothing is planted, or no controls", g.ID, m, l)
					}
					continue
				}
				if supplied(g.ID) || g.ID == sourcesControlled || member(g.ID) {
					if attacker.ID != "" || !slices.Contains(criterion.Checks, "positive-control") || !slices.Contains(criterion.Checks, "negative-control") {
						t.Errorf("%s, %s, %s: an attacker with bounds, or no controls", g.ID, m, l)
					}
					continue
				}
				if len(attacker.Within(m)) == 0 || len(criterion.Checks) < 3 || len(criterion.Costs) == 0 {
					t.Errorf("%s, %s, %s: no perturbation, checks or costs", g.ID, m, l)
				}
			}
		}
	}
	if proposed != 9+18+6+18+12 {
		t.Errorf("%d criteria are proposed, want 63", proposed)
	}
}

// supplied reports whether a goal is about files, which are changed without bounds.
func supplied(goal string) bool {
	return goal == "model-poisoning-prevent" || goal == "model-poisoning-detect"
}

// member reports whether a goal is about members of the training data, whom an attacker only asks about.
func member(goal string) bool { return strings.HasPrefix(goal, "confidentiality-prevent-membership") }

// TestRisingLevels: a higher level asks more, of an attacker who can do at least as much.
func TestRisingLevels(t *testing.T) {
	c := Default()
	for _, m := range []assay.Modality{assay.Tabular, assay.Image} {
		limit, last := 1.0, Attacker{Access: assay.Labels}
		for _, l := range assay.Levels() {
			criterion, a, err := c.Criterion("evasion-prevent", m, l)
			if err != nil {
				t.Fatal(err)
			}
			points, _, _ := c.Rate(a.Rating)
			before := 0
			if last.ID != "" {
				before, _, _ = c.Rate(last.Rating)
				if a.Within(m)[0].Eps < last.Within(m)[0].Eps {
					t.Errorf("%s at %s: a smaller eps than below", m, l)
				}
			}
			if criterion.Limit >= limit || !a.Access.Includes(last.Access) || a.Queries < last.Queries || points < before {
				t.Errorf("%s at %s does not ask more than below", m, l)
			}
			limit, last = criterion.Limit, a
		}
	}
}

// TestCriterionIsACopy: what a caller changes does not change the catalogue.
func TestCriterionIsACopy(t *testing.T) {
	c := Default()
	a, _, err := c.Criterion("evasion-prevent", assay.Image, assay.High)
	if err != nil {
		t.Fatal(err)
	}
	before := a.Digest()
	a.Checks[0], a.Costs[0].Limit = "", 1
	b, _, _ := c.Criterion("evasion-prevent", assay.Image, assay.High)
	if b.Digest() != before {
		t.Error("the catalogue has changed")
	}
}

// TestRate: points and potentials of the Common Methodology's tables.
func TestRate(t *testing.T) {
	c := Default()
	for _, test := range []struct {
		levels    [5]string
		points    int
		potential string
	}{
		{[5]string{"one-day", "layman", "public", "unlimited", "standard"}, 0, "basic"},
		{[5]string{"one-week", "proficient", "public", "easy", "specialised"}, 9, "basic"},
		{[5]string{"one-month", "proficient", "restricted", "unlimited", "standard"}, 10, "enhanced-basic"},
		{[5]string{"three-months", "proficient", "public", "unlimited", "standard"}, 13, "enhanced-basic"},
		{[5]string{"two-months", "expert", "public", "easy", "standard"}, 14, "moderate"},
		{[5]string{"four-months", "expert", "public", "unlimited", "standard"}, 19, "moderate"},
		{[5]string{"longer", "layman", "public", "easy", "standard"}, 20, "high"},
		{[5]string{"two-weeks", "multiple-experts", "critical", "moderate", "standard"}, 25, "beyond-high"},
		{[5]string{"longer", "multiple-experts", "critical", "difficult", "multiple-bespoke"}, 57, "beyond-high"},
	} {
		r := Rating{"elapsed-time": test.levels[0], "expertise": test.levels[1], "knowledge": test.levels[2], "opportunity": test.levels[3], "equipment": test.levels[4]}
		points, potential, err := c.Rate(r)
		if err != nil || points != test.points || potential != test.potential {
			t.Errorf("%v: %d points, %s, %v; want %d, %s", test.levels, points, potential, err, test.points, test.potential)
		}
	}
	_, _, err := c.Rate(Rating{"elapsed-time": "one-day"})
	wantError(t, err, "the rating lacks the factor expertise")
	whole := Rating{"elapsed-time": "one-dya", "expertise": "expert", "knowledge": "public", "opportunity": "easy", "equipment": "standard"}
	_, _, err = c.Rate(whole)
	wantError(t, err, `elapsed-time: there is no level "one-dya"; the nearest is one-day`)
	whole["elapsed-time"], whole["luck"] = "one-day", "much"
	_, _, err = c.Rate(whole)
	wantError(t, err, `there is no factor "luck"`)
}

func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("the error is %v, want %q", err, want)
	}
}

func TestNearest(t *testing.T) {
	c := Default()
	_, err := c.Goal("evasion-prevnt")
	wantError(t, err, `there is no goal "evasion-prevnt"; the nearest is evasion-prevent`)
	if _, err = c.Goal("xyz"); err == nil || strings.Contains(err.Error(), "nearest") {
		t.Errorf("xyz is near nothing: %v", err)
	}
	if _, err = c.Goal(strings.Repeat("evasion-prevent", 1<<16)); err == nil {
		t.Error("no error")
	}
}

// TestJSON: the catalogue goes through JSON and back.
func TestJSON(t *testing.T) {
	data, err := json.Marshal(Default())
	if err != nil {
		t.Fatal(err)
	}
	var back Catalog
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatal(err)
	}
	if err := back.validate(); err != nil {
		t.Error(err)
	}
	again, err := json.Marshal(&back)
	if err != nil || string(again) != string(data) {
		t.Errorf("it is another one after JSON: %v", err)
	}
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "own.yaml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

const stricter = `format: assay-catalogue/1
goals:
  - id: evasion-prevent
    defaults:
      - level: high
        why: A missed tumour is worse.
        criterion:
          limit: 0.02
          sampling: {n: 5000, assumed: 0.01}
          checks: [positive-control]
          costs:
            - {metric: clean-accuracy-loss, limit: 0.01}
            - {metric: false-alarm-rate, relation: at-most, limit: 0.1}
  - id: evasion-prevent-patches
    cell: evasion/prevent
    title: Stickers do not mislead
    statement: A printed patch does not change the answer.
    asset: The answers.
    metric: attack-success-rate
    evidence: [attack]
attackers:
  - id: moderate
    why: Our model sees tissue, where 4/255 is visible.
    perturbations:
      - {modality: image, norm: Linf, eps: 0.0157}
`

func TestOverride(t *testing.T) {
	name := write(t, stricter)
	c, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	criterion, attacker, err := c.Criterion("evasion-prevent", assay.Image, assay.High)
	if err != nil {
		t.Fatal(err)
	}
	if criterion.Limit != 0.02 || len(criterion.Checks) != 1 || len(criterion.Costs) != 2 || criterion.Costs[0].Limit != 0.01 || criterion.Confidence != 0.95 {
		t.Errorf("the criterion is %+v", criterion)
	}
	if eps := attacker.Within(assay.Image)[0].Eps; eps != 0.0157 {
		t.Errorf("eps is %v", eps)
	}
	if _, err := c.Goal("evasion-prevent-patches"); err != nil {
		t.Error(err)
	}
	tumour, tissue := "A missed tumour is worse.", "Our model sees tissue, where 4/255 is visible."
	want := []Override{
		{"goal evasion-prevent, level high, criterion, limit", "0.05", "0.02", tumour, name + ":8"},
		{"goal evasion-prevent, level high, criterion, sampling, n", "2000", "5000", tumour, name + ":9"},
		{"goal evasion-prevent, level high, criterion, sampling, assumed", "0.025", "0.01", tumour, name + ":9"},
		{"goal evasion-prevent, level high, criterion, checks", "attack-enabled, enough-units, counterexamples-confirmed, answers-repeat, positive-control, negative-control, known-answer, iterative-beats-single-step, white-box-beats-black-box, success-grows-with-budget, large-budget-succeeds, converged, gradients-not-masked", "positive-control", tumour, name + ":10"},
		{"goal evasion-prevent, level high, criterion, cost clean-accuracy-loss, limit", "0.05", "0.01", tumour, name + ":12"},
		{"goal evasion-prevent, level high, criterion, cost false-alarm-rate", "", "metric false-alarm-rate, relation at-most, limit 0.1", tumour, name + ":13"},
		{"attacker moderate, perturbation image Linf, eps", "0.0314", "0.0157", tissue, name + ":25"},
	}
	if !slices.Equal(c.Overrides, want) {
		t.Errorf("the overrides are\n%+v\nwant\n%+v", c.Overrides, want)
	}
	// A second file sees what the first did; the embedded catalogue does not.
	second := write(t, "format: assay-catalogue/1\nattackers:\n  - {id: moderate, queries: 7, why: few}\n")
	if c, err = Open(name, second); err != nil || len(c.Overrides) != 8 || c.Overrides[7].From != "10000" {
		t.Errorf("%v, %+v", err, c)
	}
	if criterion, _, _ := Default().Criterion("evasion-prevent", assay.Image, assay.High); criterion.Limit != 0.05 {
		t.Error("a user's file changed the embedded catalogue")
	}
	// What says the same as before overrides nothing, and needs no reason.
	if c, err = Open(write(t, "format: assay-catalogue/1\nattackers: [{id: moderate, queries: 10000}]\n")); err != nil || len(c.Overrides) != 0 {
		t.Errorf("%v", err)
	}
}

// TestBadFiles: what a user's file has wrong is said with its place.
func TestBadFiles(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", "is empty"}, {"# nothing\n", ""},
		{"[1, 2]", "no mapping"},
		{"goals: []", "lacks its format"},
		{"format: assay-catalogue/9", "line 1: the format is \"assay-catalogue/9\""},
		{"format: assay-catalogue/1\ngaols: []", "gaols"},
		{"format: assay-catalogue/1\nattackers:\n  - {id: basic, queries: many}", "3"},
		{"format: assay-catalogue/1\nformat: assay-catalogue/1", "format"},
		{"format: assay-catalogue/1\nattackers: &a []\ncells: *a", "line 2: write out"},
		{"format: assay-catalogue/1\nattackers:\n  - {id: basic, queries: 3}", "line 3: attacker basic, queries is changed without a reason"},
		{"format: assay-catalogue/1\nattackers:\n  - {id: basic, queries: 0, why: none}", "the attacker basic has 0 queries"},
		{"format: assay-catalogue/1\nattackers:\n  - {id: basic, queries: 3, why: x}\n  - {id: basic, queries: 4, why: y}", "line 4: the attacker basic is there twice"},
		{"format: assay-catalogue/1\nattackers:\n  - {queries: 3, why: x}", "line 3: a attacker lacks its id"},
		{"format: assay-catalogue/1\nattackers:\n  - {id: basic, rating: {knowledge: critical}, why: x}", "comes to 16 points"},
		{"format: assay-catalogue/1\ngoals:\n  - {id: evasion-prevent, defaults: [{level: high, why: x, criterion: {limit: .nan}}]}", "NaN"},
		{"format: assay-catalogue/1\ngoals:\n  - {id: evasion-prevent, defaults: [{level: high, why: x, criterion: {sampling: {n: 20}}}]}", "could never decide"},
		{"format: assay-catalogue/1\ngoals:\n  - {id: evasion-prevent, defaults: [{level: higher, why: x, attacker: basic, modalities: [image]}]}", "use low, medium, high"},
		{"format: assay-catalogue/1\ngoals:\n  - {id: evasion-x, cell: evasion/prevent, title: T, statement: S, asset: A, metric: robust-accuracy, evidence: [attack]}", "begins with evasion-prevent"},
		{"format: assay-catalogue/1\ngoals:\n  - {id: evasion-prevent-x, cell: evasion/prevent, title: T, statement: S, asset: A, metric: robust, evidence: [attack]}", `"robust"`},
		{"format: assay-catalogue/1\ngoals:\n  - {id: evasion-prevent-x, cell: evasion/prevent, title: T, statement: S, asset: A, metric: robust-accuracy, evidence: [hope]}", `"hope"`},
		{"format: assay-catalogue/1\ncells:\n  - {cell: evasion/prevent, why: x, mappings: {atlas: [AML.T15]}}", `"AML.T15"`},
		{"format: assay-catalogue/1\ncells:\n  - {cell: evasion/prevent, why: x, mappings: {bsi: [A]}}", `"bsi"`},
		{"format: assay-catalogue/1\ngoals: " + strings.Repeat("[", 500) + strings.Repeat("]", 500), ""},
		{"format: assay-catalogue/1\ngoals: " + strings.Repeat("[", maxFile-100), ""},
		{"format: assay-catalogue/1\neverywhere:\n" + numbered(40_000), "more than 1000 entries"},
		{"format: assay-catalogue/1\n# " + strings.Repeat("x", maxFile), "larger than 1 MB"},
	} {
		name := write(t, test.text)
		_, err := Open(name)
		if err == nil {
			t.Errorf("%.120s: no error", test.text)
			continue
		}
		if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), name) {
			t.Errorf("%.120s: the error is %v, want %q and the file's name", test.text, err, test.want)
		}
	}
	if _, err := Open("missing.yaml"); err == nil {
		t.Error("no error for a missing file")
	}
}

// numbered is a mapping of so many fields.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "  k%d: [a]\n", i)
	}
	return b.String()
}

func FuzzOpen(f *testing.F) {
	f.Add(stricter)
	for _, name := range []string{"attackers.yaml", "catalogues.yaml", "evasion.yaml"} {
		data, err := embedded.ReadFile("data/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(data))
	}
	f.Add("format: assay-catalogue/1\ngoals: 3\n")
	f.Add("format: assay-catalogue/1\nattackers: &a [{id: basic, queries: 1e9, why: *a}]\n")
	f.Add("format: assay-catalogue/1\neverywhere: {why: x, ai-act: Art. 1}\n")
	dir := f.TempDir()
	name := filepath.Join(dir, "own.yaml")
	f.Fuzz(func(t *testing.T, text string) {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := Open(name)
		if err != nil {
			return
		}
		// What is read is whole, and every default criterion can be used.
		if err := c.validate(); err != nil {
			t.Errorf("read, but %v", err)
		}
		for _, g := range c.Goals {
			for _, d := range g.Defaults {
				if !(d.Criterion.Limit >= 0) || math.IsInf(d.Criterion.Limit, 0) || d.Why == "" {
					t.Errorf("%s: %+v", g.ID, d)
				}
			}
		}
		if _, err := json.Marshal(c); err != nil {
			t.Error(err)
		}
	})
}
