package gate

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
)

func TestProtectedRecordsAreFoundWhateverTheirLabel(t *testing.T) {
	protected, batch := draw(50, 1, 0), draw(80, 2, 0)
	p := Protect(protected)
	if got, err := p.Among(batch); err != nil || len(got) != 0 {
		t.Fatalf("%v, %v of records that were drawn apart", got, err)
	}
	copy(batch.Record(17), protected.Record(3))
	batch.Y[17] = 1 - protected.Y[3]
	copy(batch.Record(60), protected.Record(3))
	if got, err := p.Among(batch); err != nil || !slices.Equal(got, []int{17, 60}) {
		t.Errorf("%v, %v", got, err)
	}
	batch.Record(60)[0] += 1e-3
	if got, err := p.Among(batch); err != nil || !slices.Equal(got, []int{17}) {
		t.Errorf("%v, %v with one that is changed", got, err)
	}
}

func TestZerosOfBothSignsAreOneValue(t *testing.T) {
	a, b := draw(1, 1, 0), draw(1, 2, 0)
	copy(a.X, []float32{0, 1})
	copy(b.X, []float32{float32(math.Copysign(0, -1)), 1})
	if got, err := Protect(a).Among(b); err != nil || len(got) != 1 {
		t.Errorf("%v, %v", got, err)
	}
}

// Data of another encoding would be disjoint from everything: that is no proof.
func TestDataOfAnotherSchemaAreNotCompared(t *testing.T) {
	for _, change := range []func(*dataset.Schema){
		func(s *dataset.Schema) { s.Features[0].Name = "other" },
		func(s *dataset.Schema) { s.Features[0].Type = dataset.Integer },
		func(s *dataset.Schema) { s.Features[1].Categories = []string{"x", "y"} },
		func(s *dataset.Schema) { s.Features = s.Features[:1] },
	} {
		other := *schema
		other.Features = slices.Clone(schema.Features)
		change(&other)
		d := draw(5, 1, 0)
		d.Schema = &other
		d.X = d.X[:5*other.Width()]
		if _, err := Protect(draw(5, 1, 0)).Among(d); err == nil || !strings.Contains(err.Error(), "one schema") {
			t.Errorf("%+v: %v", other.Features, err)
		}
	}
}

func TestShares(t *testing.T) {
	got := Shares([]string{"south", "north", "east", "south"}, map[string]float64{"north": 0.25, "south": 0.4, "west": 1})
	want := []Share{{"east", 1, 0.25, 0, false}, {"north", 1, 0.25, 0.25, true}, {"south", 2, 0.5, 0.4, true}}
	if !slices.Equal(got, want) {
		t.Fatalf("%+v", got)
	}
	var kept []string
	for _, s := range got {
		if s.Kept() {
			kept = append(kept, s.Source)
		}
	}
	if !slices.Equal(kept, []string{"north"}) {
		t.Errorf("%v keep to their limit", kept)
	}
	for n, want := range []Outcome{Failed, Passed, Failed} {
		if c := CheckShares(got[n : n+1]); c.Outcome != want {
			t.Errorf("%+v of %+v", c, got[n])
		}
	}
}

func TestSourcesFollowTheRecordsNumbers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d.csv")
	if err := os.WriteFile(path, []byte("a,b,c,from\n1,2,no,x\n3,4,yes,y\n5,6,no,z\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := draw(2, 1, 0)
	d.Number = []int64{3, 1}
	got, err := Sources(context.Background(), path, "from", d)
	if err != nil || !slices.Equal(got, []string{"z", "x"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := Sources(context.Background(), path, "origin", d); err == nil {
		t.Error("a column that is not there is no error")
	}
}

func TestReadLimits(t *testing.T) {
	got, err := ReadLimits([]string{"north=0.5", "a=b=1"})
	if err != nil || len(got) != 2 || got["north"] != 0.5 || got["a=b"] != 1 {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := ReadLimits(nil); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"north", "=1", "north=", "north=half", "north=0", "north=1.5", "north=NaN"} {
		if _, err := ReadLimits([]string{text}); err == nil {
			t.Errorf("%s is no error", text)
		}
	}
}
