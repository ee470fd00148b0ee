package ensemble_test

import (
	"math"
	"strings"
	"testing"

	"assay/internal/solution/ensemble"
	"assay/internal/solution/rewrite"
	"assay/internal/solution/solutiontest"
	"assay/internal/train/network"
	"assay/onnx"
)

// TestMerge merges networks whose weights and values have the same names, one of them twice, and compares with the
// means computed here.
func TestMerge(t *testing.T) {
	d := solutiontest.Open(t)
	other := network.CNN(1, 8, 8, []int{8, 8}, 10, 7)
	members := []*rewrite.Classifier{d.Classifier, solutiontest.Classifier(t, other), d.Classifier}
	_, one := solutiontest.Answers(t, d.Model, d.Test.X)
	_, two := solutiontest.Answers(t, other, d.Test.X)
	for _, of := range ensemble.Means() {
		m := solutiontest.Sound(t, func() *onnx.Model {
			m, err := ensemble.Merge(members, of)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}, false, 0)
		weights := 0
		for _, w := range m.Graph.Initializers {
			if strings.Contains(w.Name, "conv1.weight") {
				weights++
			}
		}
		if weights != 2 {
			t.Errorf("%d copies of the first convolution's weights, want one for each of two models", weights)
		}
		_, got := solutiontest.Answers(t, m, d.Test.X)
		for i := range got {
			p, q := probabilities(one[i]), probabilities(two[i])
			for k, v := range got[i] {
				want := (2*one[i][k] + two[i][k]) / 3
				if of == ensemble.Probabilities {
					want = math.Log((2*p[k] + q[k]) / 3)
				}
				if math.Abs(v-want) > 1e-3 {
					t.Fatalf("mean of %s, picture %d, class %d: %g, want %g", of, i, k, v, want)
				}
			}
		}
	}
}

func probabilities(logits []float64) []float64 {
	sum := 0.0
	out := make([]float64, len(logits))
	for i, v := range logits {
		out[i] = math.Exp(v)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

func TestMergeRefuses(t *testing.T) {
	d := solutiontest.Open(t)
	flat, few := network.MLP(64, nil, 10, 1), network.CNN(1, 8, 8, []int{4, 4}, 3, 1)
	for _, c := range []struct {
		members []*rewrite.Classifier
		of      ensemble.Mean
		want    string
	}{
		{[]*rewrite.Classifier{d.Classifier}, ensemble.Logits, "at least two"},
		{[]*rewrite.Classifier{d.Classifier, solutiontest.Classifier(t, flat)}, ensemble.Logits, "model 2 takes rows of shape [64]"},
		{[]*rewrite.Classifier{d.Classifier, solutiontest.Classifier(t, few)}, ensemble.Logits, `model 2 has the classes`},
		{[]*rewrite.Classifier{d.Classifier, d.Classifier}, "median", "no mean of"},
	} {
		if _, err := ensemble.Merge(c.members, c.of); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %q", err, c.want)
		}
	}
}
