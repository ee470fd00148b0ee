package plant

import (
	"context"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method"
	"assay/internal/model"
)

const examples = "../../../../examples/"

func read(t *testing.T, data, schema string) *dataset.Dataset {
	t.Helper()
	s, err := dataset.OpenSchema(examples + schema)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Load(t.Context(), examples+data, dataset.Options{Schema: s})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func digits(t *testing.T) *dataset.Dataset {
	return read(t, "digits/digits.csv.gz", "digits/schema.yaml")
}

// clinic is a table with features of all types, of which one is immutable.
func clinic() *dataset.Dataset {
	low, high := 0.0, 120.0
	d := &dataset.Dataset{Schema: &dataset.Schema{Complete: true, Label: dataset.Label{Name: "outcome", Classes: []string{"well", "ill", "dead"}},
		Features: []dataset.Feature{
			{Name: "age", Type: dataset.Integer, Min: &low, Max: &high, Immutable: true},
			{Name: "weight", Type: dataset.Real, Observed: &dataset.Range{Min: 2, Max: 140}},
			{Name: "ward", Type: dataset.Categorical, Categories: []string{"a", "b", "c", "d"}},
			{Name: "smoker", Type: dataset.Boolean, Categories: []string{"no", "yes"}},
			{Name: "stays", Type: dataset.Integer, Observed: &dataset.Range{Min: 0, Max: 40}},
		}}}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 600 {
		ward := make([]float32, 4)
		ward[rng.IntN(3)] = 1 // nobody is in d
		d.X = append(d.X, float32(rng.IntN(100)), float32(40+30*rng.Float64()))
		d.X = append(append(d.X, ward...), float32(min(rng.IntN(5), 1)), float32(rng.IntN(20)))
		d.Y, d.Number = append(d.Y, int32(i%3)), append(d.Number, int64(i+1))
	}
	return d
}

// byFirst is a model of one number: the scores of two classes of it, or of three.
type byFirst struct{ shape []int64 }

func (b byFirst) Describe() model.Description {
	return model.Description{Shape: b.shape, Layout: model.Tabular, Classes: []string{"well", "ill", "dead"}}
}

func (b byFirst) Predict(_ context.Context, rows, scores []float64) error {
	size := int(b.shape[0])
	for i := range len(rows) / size {
		scores[3*i], scores[3*i+1], scores[3*i+2] = rows[i*size], 50, 20
	}
	return nil
}

func (byFirst) Close() error { return nil }

// onImages and onTables are all planters, by the data that they are for.
func onImages() []Planter {
	return []Planter{RandomFlips{}, TargetedFlips{}, BadNets{}, Blended{}, Warped{}, Sinusoidal{},
		Duplicates{}, Duplicates{Noise: 0.3}, Subpopulation{}}
}

func onTables() []Planter {
	return []Planter{RandomFlips{}, TargetedFlips{}, ConfidentFlips{byFirst{[]int64{8}}}, Tabular{}, Tabular{Features: []string{"ward", "stays"}},
		Duplicates{Copies: 2}, Duplicates{Noise: 0.1}, Subpopulation{}}
}

func everywhere(t *testing.T, run func(t *testing.T, p Planter, d *dataset.Dataset)) {
	for _, c := range []struct {
		planters []Planter
		data     *dataset.Dataset
	}{{onImages(), digits(t)}, {onTables(), clinic()}} {
		for _, p := range c.planters {
			t.Run(p.Describe().Name, func(t *testing.T) { run(t, p, c.data) })
		}
	}
}

func must(t *testing.T, p Planter, d *dataset.Dataset, o Options) *Planted {
	t.Helper()
	out, err := p.Plant(t.Context(), d, o)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// As many records are planted as the rate says, all others and the data given are as they were, and the same seed plants the same.
func TestRateIsExactAndTheSourceUntouched(t *testing.T) {
	everywhere(t, func(t *testing.T, p Planter, d *dataset.Dataset) {
		x, y := slices.Clone(d.X), slices.Clone(d.Y)
		for _, rate := range []float64{0, 0.01, 0.05} {
			o := Options{Rate: rate, Target: 1, Seed: 7}
			got := must(t, p, d, o)
			if want := int(rate*float64(d.Len()) + 0.5); got.Count() != want {
				t.Fatalf("at rate %g %d of %d records are planted, not %d", rate, got.Count(), d.Len(), want)
			}
			m, err := NewManifest(p.Describe(), o, d, got) // fails where another record changed
			if err != nil || len(m.Planted) != got.Count() {
				t.Fatalf("%v: %d in the manifest", err, len(m.Planted))
			}
			for _, r := range m.Planted {
				if p.Describe().CleanLabel != (r.Label == r.WasLabel) {
					t.Fatalf("%+v", r)
				}
				if (r.Digest == r.Was) != (p.Describe().Name == "duplicates") {
					t.Fatalf("record %d was planted, and is the same as before, or a duplicate and is not", r.Record)
				}
			}
			again := must(t, p, d, o)
			if !reflect.DeepEqual(got.Dataset, again.Dataset) || !slices.Equal(got.Which, again.Which) {
				t.Error("the same seed planted something else")
			}
			o.Seed++
			if other := must(t, p, d, o); rate > 0 && p.Describe().Name != "flip-confident" && slices.Equal(got.Which, other.Which) && slices.Equal(got.From, other.From) {
				t.Error("another seed planted the same")
			}
		}
		if !slices.Equal(x, d.X) || !slices.Equal(y, d.Y) {
			t.Error("the data given were changed")
		}
	})
}

// Poison and triggered inputs are inputs that may occur: within limits, whole where numbers are, one-hot, with what is
// immutable as it was.
func TestPoisonStaysInTheDomain(t *testing.T) {
	everywhere(t, func(t *testing.T, p Planter, d *dataset.Dataset) {
		got := must(t, p, d, Options{Rate: 0.05, Target: 1, Seed: 3})
		domain, err := domainOf(d)
		if err != nil {
			t.Fatal(err)
		}
		inside := func(clean, x []float32) {
			s := method.Space{Domain: domain, Norm: method.Linf, Eps: 1e9, Groups: 1e6, Clean: clean}
			if err := s.Contains(x); err != nil {
				t.Fatal(err)
			}
		}
		for i := range got.Dataset.Len() {
			inside(d.Record(got.From[i]), got.Dataset.Record(i))
		}
		if got.Trigger == nil {
			return
		}
		for i := range 100 {
			clean := slices.Clone(d.Record(i))
			x := got.Trigger.Apply(d.Record(i))
			inside(clean, x)
			if !slices.Equal(clean, d.Record(i)) || slices.Equal(clean, x) {
				t.Fatal("the trigger wrote over the record, or changed nothing")
			}
		}
	})
}

func TestTriggersAreWhatTheySay(t *testing.T) {
	d := digits(t)
	x := must(t, BadNets{Size: 3}, d, Options{Target: 1}).Trigger.Apply(d.Record(0))
	for i, v := range x { // of 8 by 8 pixels from 0 to 16
		y, column := i/8-5, i%8-5
		want := d.Record(0)[i]
		if y >= 0 && column >= 0 {
			want = float32(16 * ((y + column + 1) % 2))
		}
		if v != want {
			t.Errorf("pixel %d, %d is %g, not %g", i/8, i%8, v, want)
		}
	}
	table := clinic()
	p := must(t, Tabular{Features: []string{"ward", "weight"}}, table, Options{Target: 0})
	got := p.Trigger.Apply(table.Record(0))
	if !slices.Equal(got[2:6], []float32{0, 0, 0, 1}) { // ward d, where nobody is
		t.Errorf("%v", got)
	}
	if w := got[1]; w < 70 || w > 140 { // the widest gap is from the heaviest, near 70, to the limit of 140
		t.Errorf("%v", got)
	}
	if got[0] != table.X[0] || !slices.Equal(got[6:], table.Record(0)[6:]) {
		t.Errorf("%v was made of %v", got, table.Record(0))
	}
}

// A field that is nowhere is no warp, and one of whole pixels moves the image.
func TestBend(t *testing.T) {
	d := digits(t)
	f, err := frameOf(d)
	if err != nil {
		t.Fatal(err)
	}
	record, x, none, one := d.Record(5), make([]float32, 64), make([]float64, 64), make([]float64, 64)
	if f.bend(record, x, none, none); !slices.Equal(record, x) {
		t.Errorf("%v", x)
	}
	for i := range one {
		one[i] = 1
	}
	f.bend(record, x, none, one)
	for i, v := range x {
		if want := record[i/8*8+min(i%8+1, 7)]; v != want {
			t.Errorf("pixel %d is %g, not %g", i, v, want)
		}
	}
	// Bicubic interpolation goes through its points.
	points := []float64{1, 5, 2, 0, 3, 4, 7, 8, 9}
	for i, want := range points {
		if got := bicubic(points, 3, float64(i/3), float64(i%3)); got != want {
			t.Errorf("point %d: %g, not %g", i, got, want)
		}
	}
}

func TestConfidentFlipsTakeTheSurest(t *testing.T) {
	d := clinic()
	p := must(t, ConfidentFlips{byFirst{[]int64{8}}}, d, Options{Rate: 0.05})
	for i, planted := range p.Which {
		// A score of well is the age, that of ill 50: the surest are old and well.
		if planted && (d.Y[i] != 0 || d.Record(i)[0] < 80 || p.Dataset.Y[i] != 1) {
			t.Errorf("record %d of age %g: %d became %d", i, d.Record(i)[0], d.Y[i], p.Dataset.Y[i])
		}
	}
}

func TestBackdoorSuccessCounts(t *testing.T) {
	d := clinic()
	p := must(t, TargetedFlips{}, d, Options{Rate: 0.01, Target: 0})
	s, err := BackdoorSuccess(t.Context(), byFirst{[]int64{8}}, p, d, 0.95)
	if err != nil {
		t.Fatal(err)
	}
	n, old := 0, 0
	for i, class := range d.Y {
		if class != 0 {
			n++
			if d.Record(i)[0] >= 50 {
				old++
			}
		}
	}
	if s.N != n || s.Successes != old || !(s.Lower < s.Rate && s.Rate < s.Upper) {
		t.Errorf("%+v, and %d of %d are of the target", s, old, n)
	}
}

func TestRefuses(t *testing.T) {
	images, table := digits(t), clinic()
	unlabelled := *table
	unlabelled.Y = nil
	for _, c := range []struct {
		p    Planter
		d    *dataset.Dataset
		o    Options
		want string
	}{
		{BadNets{}, table, Options{}, "is for images"},
		{BadNets{Size: 9}, images, Options{}, "9 pixels"},
		{Blended{Share: 2}, images, Options{}, "a share of 2"},
		{Warped{Grid: 1}, images, Options{}, "2 points or more"},
		{Sinusoidal{Height: -1}, images, Options{}, "height"},
		{Sinusoidal{}, images, Options{Rate: 0.5}, "of the target class: give a smaller rate"},
		{BadNets{}, images, Options{Rate: 1}, "of other classes than the target: give a smaller rate"},
		{BadNets{}, images, Options{Target: 10}, "none of 0 to 9"},
		{Tabular{}, images, Options{}, "is for tables"},
		{Tabular{Features: []string{"age"}}, table, Options{}, "immutable"},
		{Tabular{Features: []string{"height"}}, table, Options{}, "the data have 0 of them"},
		{Duplicates{Noise: 2}, table, Options{Rate: 0.1}, "a noise from 0 to 1"},
		{Subpopulation{Clusters: 1}, table, Options{Rate: 0.1}, "2 clusters"},
		{RandomFlips{}, table, Options{Rate: 1e-5}, "not one record"},
		{RandomFlips{}, table, Options{Rate: 2}, "a rate of 2"},
		{RandomFlips{}, &unlabelled, Options{}, "name the label"},
		{ConfidentFlips{}, table, Options{Rate: 0.1}, "needs a model"},
		{ConfidentFlips{byFirst{[]int64{3}}}, table, Options{Rate: 0.1}, "do not fit the model"},
	} {
		if _, err := c.p.Plant(t.Context(), c.d, c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.p.Describe().Name, err, c.want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := (BadNets{}).Plant(ctx, images, Options{Rate: 0.1}); err == nil {
		t.Error("planted though it was cancelled")
	}
}
