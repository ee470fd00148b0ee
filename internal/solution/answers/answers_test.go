package answers_test

import (
	"math"
	"slices"
	"testing"

	"assay/internal/model"
	"assay/internal/solution/answers"
	"assay/internal/solution/rewrite"
	"assay/internal/solution/solutiontest"
	"assay/onnx"
)

// scores is a model of four classes whose logits are its input.
func scores(t testing.TB) *rewrite.Classifier {
	t.Helper()
	b := onnx.NewBuilder("scores")
	b.OutputAs("logits", b.Op("Identity", nil, b.Input("input", onnx.Float32, "batch", 4)), onnx.Float32, onnx.Dims("batch", 4))
	return solutiontest.Classifier(t, b.Model())
}

func TestByHand(t *testing.T) {
	p := []float64{0.2, 0.53, 0.249, 0.021}
	var x []float32
	for _, v := range p {
		x = append(x, float32(math.Log(v)+3))
	}
	for name, c := range map[string]struct {
		build    func(*rewrite.Classifier) (*onnx.Model, error)
		straight int
		want     []float64
	}{
		"labels":       {answers.Labels, 0, []float64{0, 1, 0, 0}},
		"one decimal":  {func(c *rewrite.Classifier) (*onnx.Model, error) { return answers.Round(c, 1) }, 1, []float64{0.2, 0.5, 0.2, 0}},
		"two decimals": {func(c *rewrite.Classifier) (*onnx.Model, error) { return answers.Round(c, 2) }, 1, []float64{0.2, 0.53, 0.25, 0.02}},
		"top one":      {func(c *rewrite.Classifier) (*onnx.Model, error) { return answers.Top(c, 1) }, 0, []float64{0, 0.53, 0, 0}},
		"top three":    {func(c *rewrite.Classifier) (*onnx.Model, error) { return answers.Top(c, 3) }, 0, []float64{0.2, 0.53, 0.249, 0}},
	} {
		m := solutiontest.Sound(t, func() *onnx.Model {
			m, err := c.build(scores(t))
			if err != nil {
				t.Fatal(err)
			}
			return m
		}, false, c.straight)
		classes, got := solutiontest.Answers(t, m, x)
		if classes[0] != 1 {
			t.Errorf("%s: the class is %d", name, classes[0])
		}
		for i, v := range got[0] {
			if math.Abs(math.Exp(v)-max(c.want[i], 1e-12)) > 1e-6 {
				t.Errorf("%s: class %d has %v, want %v", name, i, math.Exp(v), c.want[i])
			}
		}
	}
}

// TestDigits: what is said less leaves the class as it is.
func TestDigits(t *testing.T) {
	d := solutiontest.Open(t)
	plain, _ := solutiontest.Answers(t, d.Model, d.Test.X)
	labels, err := answers.Labels(d.Classifier)
	if err != nil {
		t.Fatal(err)
	}
	top, err := answers.Top(d.Classifier, 2)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*onnx.Model{labels, top} {
		if got, _ := solutiontest.Answers(t, m, d.Test.X); !slices.Equal(got, plain) {
			t.Error("the classes changed")
		}
	}
}

func TestNoise(t *testing.T) {
	m, err := answers.Noise(scores(t), 2)
	if err != nil {
		t.Fatal(err)
	}
	says, err := model.ReadDefence(m)
	if err != nil || len(says.Random) != 1 || says.Random[0].Deviation != 2 {
		t.Fatalf("%+v (%v)", says, err)
	}
	const rows = 4000
	x := make([]float32, 4*rows)
	for i := range x {
		x[i] = float32(i / 4) // equal rows would draw the same
	}
	_, got := solutiontest.Answers(t, m, x)
	sum, squares := 0.0, 0.0
	for i, row := range got {
		for _, v := range row {
			v -= float64(i)
			sum, squares = sum+v/(4*rows), squares+v*v/(4*rows)
		}
	}
	if math.Abs(sum) > 5*2/math.Sqrt(4*rows) || math.Abs(squares/4-1) > 5*math.Sqrt(2./(4*rows)) {
		t.Errorf("noise of mean %v and variance %v", sum, squares)
	}
}

func TestRefuses(t *testing.T) {
	c := scores(t)
	for name, build := range map[string]func() (*onnx.Model, error){
		"no decimals": func() (*onnx.Model, error) { return answers.Round(c, 0) }, "7 decimals": func() (*onnx.Model, error) { return answers.Round(c, 7) },
		"top 0": func() (*onnx.Model, error) { return answers.Top(c, 0) }, "top 4": func() (*onnx.Model, error) { return answers.Top(c, 4) },
		"no noise": func() (*onnx.Model, error) { return answers.Noise(c, 0) }, "noise NaN": func() (*onnx.Model, error) { return answers.Noise(c, math.NaN()) },
	} {
		if m, err := build(); err == nil || m != nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
