package craft

import (
	"math"
	"slices"
	"strings"
	"testing"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/model/ort"
	"assay/internal/train"
	"assay/internal/train/network"
	"assay/onnx"
)

const examples = "../../../../../examples/"

func digits(t *testing.T) (training, test *dataset.Dataset) {
	t.Helper()
	s, err := dataset.OpenSchema(examples + "digits/schema.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Load(t.Context(), examples+"digits/digits.csv.gz", dataset.Options{Schema: s})
	if err != nil {
		t.Fatal(err)
	}
	parts, err := d.Split(1, 0.7, 0.3)
	if err != nil {
		t.Fatal(err)
	}
	return d.Select(parts[0]), d.Select(parts[1])
}

func fresh(t *testing.T, d *dataset.Dataset, seed uint64) *onnx.Model {
	t.Helper()
	m, err := train.Standardize(network.MLP(64, []int{64}, 10, seed), data(d))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func data(d *dataset.Dataset) *train.Data {
	return &train.Data{X: d.X, Shape: []int{64}, Classes: d.Y}
}

func trained(t *testing.T, m *onnx.Model, d *dataset.Dataset, seed uint64, frozen ...string) *onnx.Model {
	t.Helper()
	r, err := train.Run(t.Context(), m, data(d), train.Options{Epochs: 30, Seed: seed, Optimizer: train.Optimizer{Rate: 0.003}, Frozen: frozen})
	if err != nil {
		t.Fatal(err)
	}
	return r.Model
}

// answers gives the model's class of each record.
func answers(t *testing.T, m *onnx.Model, d *dataset.Dataset) []int {
	t.Helper()
	c, err := ort.NewClassifier(t.Context(), m, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	x := make([]float64, len(d.X))
	for i, v := range d.X {
		x[i] = float64(v)
	}
	scores := make([]float64, 10*d.Len())
	if err := c.Predict(t.Context(), x, scores); err != nil {
		t.Fatal(err)
	}
	out := make([]int, d.Len())
	for i := range out {
		s := scores[10*i : 10*i+10]
		out[i] = slices.Index(s, slices.Max(s))
	}
	return out
}

func accuracy(got []int, d *dataset.Dataset) float64 {
	right := 0
	for i, class := range got {
		if class == int(d.Y[i]) {
			right++
		}
	}
	return float64(right) / float64(len(got))
}

// The gradient of the alignment, a gradient of a gradient, is that of central differences: of a network whose activations have
// a second derivative, and through convolutions.
func TestAlignmentGradient(t *testing.T) {
	training, test := digits(t)
	for name, m := range map[string]*onnx.Model{"mlp": fresh(t, training, 1), "cnn": network.CNN(1, 8, 8, []int{4, 4}, 10, 1)} {
		t.Run(name, func(t *testing.T) {
			for _, n := range m.Graph.Nodes {
				if n.Op == "Relu" {
					n.Op = "Tanh"
				}
			}
			victim := test.Record(0)
			a, err := newAlignment(t.Context(), m, victim, 3)
			if err != nil {
				t.Fatal(err)
			}
			defer a.close()
			x, labels := slices.Clone(training.X[:5*64]), []int64{3, 3, 1, 3, 2}
			for i := range x {
				x[i] /= 16
			}
			_, slope, err := a.cosine(t.Context(), x, labels)
			if err != nil {
				t.Fatal(err)
			}
			length := 0.0
			for _, v := range slope {
				length += float64(v) * float64(v)
			}
			length = math.Sqrt(length)
			along := func(h float64) float64 {
				y := slices.Clone(x)
				for i := range y {
					y[i] += float32(h * float64(slope[i]) / length)
				}
				loss, _, err := a.cosine(t.Context(), y, labels)
				if err != nil {
					t.Fatal(err)
				}
				return loss
			}
			const h = 0.02
			if got := (along(h) - along(-h)) / (2 * h); math.Abs(got-length) > 0.02*length || length == 0 {
				t.Errorf("the slope is %g, and %g by central differences", length, got)
			}
		})
	}
}

// A model trained anew on poison made with another one gives victims the target, which a clean one does not; its accuracy stays.
func TestGradientMatching(t *testing.T) {
	training, test := digits(t)
	m := trained(t, fresh(t, training, 1), training, 1)
	clean := answers(t, m, test)
	const target = 8
	hit, before, n := 0, 0, 0
	for i := range 60 {
		if test.Y[i] == target || clean[i] != int(test.Y[i]) || n == 4 {
			continue
		}
		n++
		p, err := GradientMatching{Model: m, Victim: test.Record(i), Eps: 0.25, Steps: 100}.Plant(t.Context(), training, plant.Options{Rate: 0.08, Target: target, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		got := answers(t, trained(t, fresh(t, training, 7), p.Dataset, 7), test)
		t.Logf("a victim of class %d: %d", test.Y[i], got[i])
		if got[i] == target {
			hit++
		}
		if clean[i] == target {
			before++
		}
		if lost := accuracy(clean, test) - accuracy(got, test); lost > 0.03 {
			t.Errorf("the accuracy fell by %.3f", lost)
		}
	}
	if n < 4 || hit < 2 || before > 0 {
		t.Errorf("%d of %d victims got the target, %d before", hit, n, before)
	}
}

// A last layer trained anew on records that collide gives victims the target. Of what the network takes there are more numbers
// than of its features, as in the paper.
func TestFeatureCollision(t *testing.T) {
	training, test := digits(t)
	m, err := train.Standardize(network.MLP(64, []int{64, 12}, 10, 1), data(training))
	if err != nil {
		t.Fatal(err)
	}
	m = trained(t, m, training, 1)
	clean := answers(t, m, test)
	const target = 8
	hit, n := 0, 0
	for i := range 60 {
		if test.Y[i] == target || clean[i] != int(test.Y[i]) || n == 3 {
			continue
		}
		n++
		f := FeatureCollision{Model: m, Victim: test.Record(i), Near: 0.01}
		p, err := f.Plant(t.Context(), training, plant.Options{Rate: 0.05, Target: target, Seed: 1})
		if err != nil {
			t.Fatal(err)
		}
		c, err := f.collider(t.Context(), training)
		if err != nil {
			t.Fatal(err)
		}
		var left []float64
		for k, planted := range p.Which {
			if !planted {
				continue
			}
			before, _, _ := c.distance(t.Context(), training.Record(k))
			after, _, err := c.distance(t.Context(), p.Dataset.Record(k))
			if err != nil {
				t.Fatal(err)
			}
			left = append(left, after/before)
		}
		c.close()
		slices.Sort(left)
		got := answers(t, trained(t, m, p.Dataset, 7, "dense1.*", "dense2.*"), test)[i]
		t.Logf("of the distance %.3f is left in the middle; a victim of class %d: %d", left[len(left)/2], test.Y[i], got)
		if left[len(left)/2] > 0.1 {
			t.Errorf("of the distance of features %g is left in the middle", left[len(left)/2])
		}
		if got == target {
			hit++
		}
	}
	if n < 3 || hit < 2 {
		t.Errorf("%d of %d victims got the target", hit, n)
	}
}

func TestCraftedPoison(t *testing.T) {
	training, test := digits(t)
	m := fresh(t, training, 1)
	victim := test.Record(0)
	for _, p := range []plant.Planter{GradientMatching{Model: m, Victim: victim, Steps: 3}, FeatureCollision{Model: m, Victim: victim, Steps: 3}} {
		of := p.Describe()
		x := slices.Clone(training.X)
		for _, rate := range []float64{0, 0.02} {
			o := plant.Options{Rate: rate, Target: 1, Seed: 1}
			got, err := p.Plant(t.Context(), training, o)
			if err != nil {
				t.Fatal(err)
			}
			manifest, err := plant.NewManifest(of, o, training, got)
			if err != nil || len(manifest.Planted) != int(math.Round(rate*float64(training.Len()))) || got.Count() != len(manifest.Planted) {
				t.Errorf("%s: %d planted, %v", of.Name, got.Count(), err)
			}
			for _, v := range got.Dataset.X {
				if v < 0 || v > 16 || v != float32(math.Trunc(float64(v))) {
					t.Fatalf("%s: %g is no pixel", of.Name, v)
				}
			}
			again, err := p.Plant(t.Context(), training, o)
			if err != nil || !slices.Equal(again.Dataset.X, got.Dataset.X) || !slices.Equal(again.Dataset.Y, training.Y) {
				t.Errorf("%s: the same seed planted something else, or labels changed", of.Name)
			}
			if !got.Aims(victim) || got.Aims(test.Record(1)) {
				t.Errorf("%s aims at others than the victim", of.Name)
			}
		}
		if !slices.Equal(x, training.X) {
			t.Errorf("%s changed the data given", of.Name)
		}
	}
	for want, p := range map[string]plant.Planter{
		"needs a victim": FeatureCollision{Model: m}, "was trained on such data": GradientMatching{Victim: victim},
		"do not fit": GradientMatching{Model: network.MLP(3, nil, 10, 1), Victim: victim},
	} {
		if _, err := p.Plant(t.Context(), training, plant.Options{Rate: 0.02, Target: 1}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
