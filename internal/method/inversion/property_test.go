package inversion_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"assay/internal/method/inversion"
	"assay/internal/model/ort"
	"assay/internal/train/network"
	"assay/onnx"
)

// biased trains models whose bias is the share of the property among their members, times a weight, and noise.
type biased struct {
	holds  []bool
	weight float64
}

func (b biased) Len() int { return len(b.holds) }

func (b biased) Key([]int, uint64) (string, error) { return "", fmt.Errorf("none is kept") }

func (b biased) Train(_ context.Context, members []int, seed uint64) (*onnx.Model, error) {
	m := network.Logistic(3, 2, 1)
	bias, err := onnx.View[float32](m.Graph.Initializer("dense.bias"))
	if err != nil {
		return nil, err
	}
	for _, i := range members {
		if b.holds[i] {
			bias[1] += float32(b.weight / float64(len(members)))
		}
	}
	bias[1] += 0.05 * float32(rand.New(rand.NewPCG(seed, 1)).NormFloat64())
	return m, nil
}

func property(t *testing.T, weight float64) *inversion.PropertyAudit {
	t.Helper()
	ctx := context.Background()
	population := people(400, 3, false)
	p := inversion.Property{Shares: [2]float64{0.3, 0.7}, Size: 100}
	for _, x := range population.Rows {
		p.Holds = append(p.Holds, x[2] == 1)
	}
	b := biased{p.Holds, weight}
	var members []int
	for i, holds := range p.Holds {
		if holds {
			members = append(members, i)
		}
	}
	m, err := b.Train(ctx, members, 99)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ort.NewClassifier(ctx, m, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a, err := inversion.Properties(ctx, inversion.Victim{Model: c}, b, population.Rows, p, inversion.PropertyOptions{Shadows: 80, Queries: 32, Confidence: 0.95, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", a)
	return a
}

// A share that shows in a model's bias is told of every model, and of none where it shows nowhere.
func TestProperties(t *testing.T) {
	if a := property(t, 1); a.Correct.Part < 0.95 || a.Gain.Lower < 0.3 || a.Guess != 0.7 || a.Shadows != 40 {
		t.Errorf("%+v", a)
	}
	if a := property(t, 0); a.Gain.Lower > 0 {
		t.Errorf("a share that shows nowhere was told: %+v", a)
	}
}

func TestPropertyRefusals(t *testing.T) {
	population := people(40, 3, false)
	p := inversion.Property{Shares: [2]float64{0.1, 0.9}, Size: 30, Holds: make([]bool, 40)}
	o := inversion.PropertyOptions{Shadows: 8, Confidence: 0.95}
	v := inversion.Victim{Model: memory{}}
	if _, err := inversion.Properties(context.Background(), v, biased{holds: p.Holds}, population.Rows, p, o); err == nil || !strings.Contains(err.Error(), "lacks") {
		t.Errorf("a property that no record has: %v", err)
	}
	o.Shadows = 6
	if _, err := inversion.Properties(context.Background(), v, biased{holds: p.Holds}, population.Rows, p, o); err == nil {
		t.Error("6 shadow models were enough")
	}
}
