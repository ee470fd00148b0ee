package poisoning

import (
	"math"
	"testing"

	"assay"
	"assay/internal/assess"
	"assay/internal/criteria"
)

func passes(checks []criteria.Check, name string) bool {
	for _, c := range checks {
		if c.Name == name {
			return c.Passed
		}
	}
	return false
}

// TestControlsCanFail: nothing planted, a detector that is not there, false alarms and three records do not pass.
func TestControlsCanFail(t *testing.T) {
	good := controls{Alarms: 10, Records: 1000, Judged: 300, FPR: 0.01, Crude: 50, Found: 50}
	for _, name := range []string{"positive-control", "negative-control", "enough-units"} {
		if !passes(good.checks(100), name) {
			t.Errorf("%s does not pass: %+v", name, good.checks(100))
		}
	}
	for what, c := range map[string]struct {
		controls
		observed int
		fails    string
	}{
		"nothing planted":     {controls{Records: 1000, Judged: 300, FPR: 0.01}, 100, "positive-control"},
		"switched off":        {controls{Records: 1000, Judged: 300, FPR: 0.01, Crude: 50}, 100, "positive-control"},
		"random numbers, too": {controls{Records: 1000, Judged: 300, FPR: 0.01, Crude: 50, Found: 50, Blind: 40}, 100, "positive-control"},
		"alarms":              {controls{Alarms: 60, Records: 1000, Judged: 300, FPR: 0.01, Crude: 50, Found: 50}, 100, "negative-control"},
		"no clean records":    {controls{Crude: 50, Found: 50, FPR: 0.01}, 100, "negative-control"},
		"three units":         {good, 3, "enough-units"},
	} {
		if passes(c.checks(c.observed), c.fails) {
			t.Errorf("%s: %s passed", what, c.fails)
		}
	}
}

// TestChance: by hand. With j = 1 of one clean record judged and a rate of one half, the part suspected is uniform, and so
// is the number of alarms from 0 to m.
func TestChance(t *testing.T) {
	for k := range 5 {
		if got, want := (controls{Alarms: k, Records: 4, Judged: 1, FPR: 0.5}).chance(), float64(5-k)/5; math.Abs(got-want) > 1e-12 {
			t.Errorf("%d alarms: %g, want %g", k, got, want)
		}
	}
	if got := (controls{Alarms: 1, Records: 4, Judged: 10, FPR: 0.01}).chance(); got != 0 {
		t.Errorf("an alarm where none can be has the probability %g", got)
	}
}

func TestRefused(t *testing.T) {
	tester := New(nil, "", nil)
	test := &assess.Test{Vulnerability: assay.DataPoisoning, Function: assay.Detect}
	if _, err := tester.Checks(test, nil, nil); err == nil {
		t.Error("controls that were not recorded were judged")
	}
	if _, err := tester.Clean(t.Context(), test, nil); err == nil {
		t.Error("a cost was measured")
	}
	if _, err := tester.Present(t.Context(), test, nil, nil); err == nil {
		t.Error("a test in which nothing is planted was presented")
	}
}
