package dataset

import (
	"slices"
	"testing"

	"assay/internal/realdata"
)

func load(t testing.TB, path string, o Options) *Dataset {
	t.Helper()
	d, err := Load(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// classSizes counts the records of each class.
func classSizes(d *Dataset) []int {
	n := make([]int, len(d.Schema.Label.Classes))
	for _, y := range d.Y {
		n[y]++
	}
	return n
}

func featureTypes(s *Schema) map[Type]int {
	n := map[Type]int{}
	for _, f := range s.Features {
		n[f.Type]++
	}
	return n
}

// Counts and means are those that the datasets' sources state, or numpy's.

func TestBreastCancer(t *testing.T) {
	d := load(t, "../../examples/diagnosis/breast_cancer.csv", Options{})
	if d.Len() != 569 || !slices.Equal(d.Schema.Label.Classes, []string{"benign", "malignant"}) || !slices.Equal(classSizes(d), []int{357, 212}) {
		t.Errorf("%d records, classes %v of %v", d.Len(), d.Schema.Label.Classes, classSizes(d))
	}
	if n := featureTypes(d.Schema)[Real]; n != 30 || len(d.Schema.Features) != 30 {
		t.Errorf("%d of %d features are real, want all 30", n, len(d.Schema.Features))
	}
	s := d.Statistics()[0] // mean radius
	near(t, "mean", s.Mean, 14.127291739894552, 1e-6)
	near(t, "std", s.Std, 3.5209507607110642, 1e-6)
	near(t, "min", s.Min, 6.981, 1e-6)
	near(t, "max", s.Max, 28.11, 1e-6)
	if duplicates := Duplicates(d); len(duplicates) != 0 {
		t.Errorf("%d records occur more than once, want none", len(duplicates))
	}
}

func TestDigits(t *testing.T) {
	schema, err := OpenSchema("../../examples/digits/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := load(t, "../../examples/digits/digits.csv.gz", Options{Schema: schema})
	if d.Len() != 1797 || !slices.Equal(d.Schema.RecordShape(), []int{1, 8, 8}) {
		t.Errorf("%d records of shape %v", d.Len(), d.Schema.RecordShape())
	}
	if want := []int{178, 182, 177, 183, 181, 182, 181, 179, 174, 180}; !slices.Equal(classSizes(d), want) {
		t.Errorf("classes of %v, want %v", classSizes(d), want)
	}
	if c := d.Schema.Columns()[63]; c.Type != Integer || c.Min != 0 || c.Max != 16 {
		t.Errorf("the last pixel is %+v", c)
	}
}

func TestRealTables(t *testing.T) {
	for _, c := range []struct {
		file    string
		options Options
		records int
		width   int
		types   map[Type]int
		classes []int
	}{
		{"adult/adult.csv.gz", Options{}, 32561, 108, map[Type]int{Categorical: 8, Integer: 6}, []int{24720, 7841}},
		{"german/german.csv", Options{}, 1000, 61, map[Type]int{Categorical: 13, Integer: 7}, []int{700, 300}},
		{"compas/compas.csv", Options{BadRecords: 307}, 6907, 11, map[Type]int{Categorical: 2, Integer: 7}, nil},
		{"nsl-kdd/train-20percent.csv.gz", Options{Label: "column42", Schema: &Schema{Drop: []string{"column43"}}}, 25192, 118,
			map[Type]int{Boolean: 6, Categorical: 3, Integer: 16, Real: 16}, nil},
	} {
		t.Run(c.file, func(t *testing.T) {
			d := load(t, realdata.Path(t, c.file), c.options)
			if d.Len() != c.records || d.Schema.Width() != c.width {
				t.Errorf("%d records of %d numbers, want %d of %d", d.Len(), d.Schema.Width(), c.records, c.width)
			}
			for typ, n := range c.types {
				if got := featureTypes(d.Schema)[typ]; got != n {
					t.Errorf("%d %s features, want %d", got, typ, n)
				}
			}
			if c.classes != nil && !slices.Equal(classSizes(d), c.classes) {
				t.Errorf("classes of %v, want %v", classSizes(d), c.classes)
			}
		})
	}
}

func TestAnotherFileUnderTheSameSchema(t *testing.T) {
	train := load(t, realdata.Path(t, "nsl-kdd/train-20percent.csv.gz"), Options{Label: "column42", Schema: &Schema{Drop: []string{"column43"}}})
	test := load(t, realdata.Path(t, "nsl-kdd/test.csv.gz"), Options{Schema: train.Schema, BadRecords: 22544})
	if test.Schema.Width() != train.Schema.Width() || !slices.Equal(test.Schema.Label.Classes, train.Schema.Label.Classes) {
		t.Error("the two files are encoded differently")
	}
	// The test set has attacks that the training set does not have: they are bad records, each with its reason.
	if test.Len()+len(test.Bad) != 22544 || len(test.Bad) < 1000 || test.Len() < 15000 {
		t.Errorf("%d records and %d bad ones of 22544", test.Len(), len(test.Bad))
	}
}

func TestMNIST(t *testing.T) {
	d := load(t, realdata.Path(t, "mnist/t10k-images-idx3-ubyte.gz"), Options{})
	if d.Len() != 10000 || !slices.Equal(d.Schema.RecordShape(), []int{1, 28, 28}) {
		t.Fatalf("%d records of shape %v", d.Len(), d.Schema.RecordShape())
	}
	if !slices.Equal(d.Y[:5], []int32{7, 2, 1, 0, 4}) {
		t.Errorf("the labels begin %v", d.Y[:5])
	}
	if want := []int{980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009}; !slices.Equal(classSizes(d), want) {
		t.Errorf("classes of %v, want %v", classSizes(d), want)
	}
	sum := 0.0
	for _, v := range d.X {
		sum += float64(v)
	}
	near(t, "mean pixel", sum/float64(len(d.X)), 33.791224489795916, 1e-9)
}

func TestCIFAR10(t *testing.T) {
	path := realdata.Path(t, "cifar10/test.npz")
	d := load(t, path, Options{})
	if d.Len() != 3000 || !slices.Equal(d.Schema.RecordShape(), []int{3, 32, 32}) {
		t.Fatalf("%d records of shape %v", d.Len(), d.Schema.RecordShape())
	}
	for class, n := range classSizes(d) {
		if n != 300 {
			t.Errorf("class %d has %d records, want 300", class, n)
		}
	}
	last := load(t, path, Options{Schema: &Schema{Shape: []int{32, 32, 3}}})
	for i := range 32 * 32 {
		for c := range 3 {
			if d.Record(7)[c*1024+i] != last.Record(7)[3*i+c] {
				t.Fatalf("pixel %d of channel %d differs between channels first and last", i, c)
			}
		}
	}
}
