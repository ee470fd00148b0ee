package membership_test

import (
	"context"
	"math"
	"testing"

	"assay/internal/method"
	"assay/internal/method/membership"
	"assay/internal/model/ort"
	"assay/internal/train/network"
)

// By labels alone members of an overfit model are farther from its boundary.
func TestBoundary(t *testing.T) {
	b := trainer(noisy(300, 0.25, 1), 128, 100)
	v, p := target(t, b, 1)
	domain := &method.Domain{}
	for range width {
		domain.Low, domain.High, domain.Scale = append(domain.Low, -5), append(domain.High, 5), append(domain.Scale, 1)
	}
	o := options(b, 4)
	o.Attacks = []membership.Attack{membership.Boundary(domain, 300)}
	results, err := membership.Run(context.Background(), v, p, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%+v", results[0].AUROC)
	if results[0].AUROC.Lower <= 0.5 {
		t.Errorf("an AUROC of %+v where members are known by heart", results[0].AUROC)
	}
	distinct := map[float64]bool{}
	for _, s := range results[0].Scores {
		distinct[s] = true
	}
	if len(distinct) < 100 {
		t.Errorf("only %d distances differ", len(distinct))
	}
}

// Of a linear model the distance is known, |w·x|/‖w‖₁: no distance is below it, and most are near it.
func TestBoundaryOfLinear(t *testing.T) {
	m := network.Logistic(width, 2, 3)
	c, err := ort.NewClassifier(context.Background(), m, ort.ClassifierOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	d := noisy(100, 0, 1)
	difference := func(rows []float64) []float64 {
		scores, out := make([]float64, len(rows)/width*2), make([]float64, len(rows)/width)
		if err := c.Predict(context.Background(), rows, scores); err != nil {
			t.Fatal(err)
		}
		for i := range out {
			out[i] = scores[2*i+1] - scores[2*i]
		}
		return out
	}
	axes := make([]float64, (width+1)*width) // the first is zero
	for j := range width {
		axes[(j+1)*width+j] = 1
	}
	at, norm := difference(axes), 0.0
	for _, a := range at[1:] {
		norm += math.Abs(a - at[0])
	}
	rows := make([]float64, len(d.X))
	for i, x := range d.X {
		rows[i] = float64(x)
	}
	values := difference(rows)
	p := membership.Population{Data: d, Member: make([]bool, 100)}
	domain := &method.Domain{}
	for range width {
		domain.Low, domain.High, domain.Scale = append(domain.Low, -5), append(domain.High, 5), append(domain.Scale, 1)
	}
	for i, v := range values {
		p.Member[i] = i%2 == 0
		p.Classes[i] = 0
		if v > 0 {
			p.Classes[i] = 1
		}
	}
	o := options(nil, 4)
	o.Trainer, o.Attacks = nil, []membership.Attack{membership.Boundary(domain, 500)}
	results, err := membership.Run(context.Background(), membership.Victim{Model: c}, p, o)
	if err != nil {
		t.Fatal(err)
	}
	near := 0
	for i, got := range results[0].Scores {
		want := math.Abs(values[i]) / norm
		if got < want*0.999 {
			t.Errorf("record %d: %v, and the boundary is %v away", i, got, want)
		}
		if got < 1.1*want+0.01 { // RayS searches to a thousandth of the limits
			near++
		}
	}
	if near < 95 {
		t.Errorf("only %d of 100 distances are near the true ones", near)
	}
}
