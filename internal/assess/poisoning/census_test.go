package poisoning

import (
	"slices"
	"testing"

	"assay/internal/dataset"
	"assay/internal/gate"
)

// records gives records of one number each, from first on, of two classes.
func records(first, n int) *dataset.Dataset {
	d := &dataset.Dataset{Schema: &dataset.Schema{
		Features: []dataset.Feature{{Name: "a", Type: dataset.Real}}, Label: dataset.Label{Name: "c", Classes: []string{"no", "yes"}}, Complete: true,
	}}
	for i := range n {
		d.X, d.Y, d.Number = append(d.X, float32(first+i)), append(d.Y, int32(i%2)), append(d.Number, int64(i+1))
	}
	return d
}

func newTestCensus(t *testing.T, training *dataset.Dataset, sources []string, allowed map[string]float64) *census {
	t.Helper()
	protected := records(1000, 40)
	c := &census{training: training, sources: sources, allowed: allowed, validated: protected, protected: gate.Protect(protected)}
	var err error
	if c.wrong, err = c.look(training, sources); err != nil {
		t.Fatal(err)
	}
	return c
}

func halves(n int) []string {
	return slices.Concat(slices.Repeat([]string{"north"}, n/2), slices.Repeat([]string{"south"}, n-n/2))
}

func counts(wrong []string) (n int) {
	for _, w := range wrong {
		if w != "" {
			n++
		}
	}
	return n
}

func TestCensus(t *testing.T) {
	shares := map[string]float64{"north": 0.5, "south": 0.6}
	if n := counts(newTestCensus(t, records(0, 100), halves(100), shares).wrong); n != 0 {
		t.Errorf("%d records of data that are as they must be are wrong", n)
	}
	shared := records(0, 100)
	copy(shared.Record(7), []float32{1003})
	if c := newTestCensus(t, shared, halves(100), shares); counts(c.wrong) != 1 || c.wrong[7] == "" {
		t.Errorf("a protected record: %q", c.wrong)
	}
	long := halves(100)
	long[50] = "north"
	if c := newTestCensus(t, records(0, 100), long, shares); counts(c.wrong) != 51 || c.wrong[50] == "" || c.wrong[51] != "" {
		t.Errorf("a source that gives one record too many: %q", c.wrong)
	}
	strange := halves(100)
	strange[3], strange[4] = "east", ""
	if c := newTestCensus(t, records(0, 100), strange, shares); counts(c.wrong) != 2 || c.wrong[3] == "" || c.wrong[4] == "" {
		t.Errorf("strangers: %q", c.wrong)
	}
}

// TestRehearsal: the control passes whatever the data are like, and fails where nothing could be found, or nothing could be right.
func TestRehearsal(t *testing.T) {
	for what, c := range map[string]struct {
		training *dataset.Dataset
		allowed  map[string]float64
		positive bool
		negative bool
	}{
		"shares that are just all":   {records(0, 103), map[string]float64{"north": 0.7, "south": 0.1, "east": 0.2}, true, true},
		"all of one":                 {records(0, 100), map[string]float64{"north": 1, "south": 0.3}, true, true},
		"many protected":             {records(980, 50), map[string]float64{"north": 0.5, "south": 0.6}, true, true},
		"no source could exceed":     {records(0, 100), map[string]float64{"north": 1, "south": 1}, false, true},
		"no data could conform":      {records(0, 100), map[string]float64{"north": 0.5, "south": 0.4}, false, false},
		"nothing but protected ones": {records(1000, 40), map[string]float64{"north": 0.5, "south": 0.6}, false, false},
	} {
		made, err := newTestCensus(t, c.training, halves(c.training.Len()), c.allowed).control(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		checks := made.(*rehearsal).checks()
		if passes(checks, "positive-control") != c.positive || passes(checks, "negative-control") != c.negative {
			t.Errorf("%s: %+v", what, checks)
		}
	}
}

// TestRehearsalCanFail: one that overlooks something, or cries at what is right, does not pass.
func TestRehearsalCanFail(t *testing.T) {
	if (rehearsal{Records: 10, Cases: []flaw{{Planted: 3, Found: 2}}}).checks()[0].Passed {
		t.Error("a record was overlooked, and the positive control passed")
	}
	if (rehearsal{Records: 10, Cases: []flaw{{Planted: 3, Found: 3, Alarms: 1}}}).checks()[1].Passed {
		t.Error("something was held against a record that is right, and the negative control passed")
	}
}

// TestMost: by hand, and where the product is no exact number.
func TestMost(t *testing.T) {
	for _, c := range []struct {
		part float64
		n    int
		want int
	}{{0.5, 9, 4}, {0.29, 100, 29}, {0.7, 10, 7}, {1, 3, 3}, {0.01, 99, 0}} {
		if got := most(c.part, c.n); got != c.want {
			t.Errorf("most(%g, %d) is %d, want %d", c.part, c.n, got, c.want)
		}
	}
}
