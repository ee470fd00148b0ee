package bounds

import (
	"math/rand/v2"
	"testing"

	"assay/internal/model/ort"
	"assay/onnx"
)

// lines are a network's linear functions for random combinations of its outputs, and how
// often one was above the combination somewhere in a box.
func lines(t *testing.T, c trial, change func(b *bounder)) (above, compared int) {
	t.Helper()
	const rows = 3
	m := c.model(3, 0)
	b, err := newBounder(m, Options{Method: CROWN, Rows: rows, Slopes: true})
	if err != nil {
		t.Fatal(c.name, err)
	}
	if change != nil {
		change(b)
	}
	bounded, err := b.finished()
	if err != nil {
		t.Fatal(c.name, err)
	}
	q := c.ask(5, 20, 8)
	boxes, outputs := int(q.shape[0]), int(b.count(b.output))
	rng := rand.New(rand.NewPCG(1, 2))
	weights := make([]float32, boxes*rows*outputs)
	for i := range weights {
		weights[i] = float32(rng.IntN(7) - 3)
	}
	got := open(t, bounded, ort.OptimizeAll).run(t, ort.NewTensor(q.lower, q.shape...), ort.NewTensor(q.upper, q.shape...),
		ort.NewTensor(weights, int64(boxes), rows, int64(outputs)))
	low, slopes, linear := got[0], got[1], got[2]
	exact := truth(t, m)
	n := len(q.lower) / boxes
	for _, x := range q.points {
		y := exact(x, q.shape)
		for i := range boxes * rows {
			box := i / rows
			value := 0.0
			for k, w := range weights[i*outputs : (i+1)*outputs] {
				value += float64(w) * y[box*outputs+k]
			}
			line := float64(linear[i])
			for j, s := range slopes[i*n : (i+1)*n] {
				from := q.lower[box*n+j]
				if s < 0 {
					from = q.upper[box*n+j]
				}
				line += float64(s) * (float64(x[box*n+j]) - float64(from))
			}
			if compared++; line > value+1e-12 || low[i] < linear[i] {
				above++
			}
		}
	}
	return above, compared
}

func TestSlopes(t *testing.T) {
	for _, c := range networks {
		if above, compared := lines(t, c, nil); above > 0 || compared < 100 {
			t.Errorf("%s: %d of %d lines are above what they bound", c.name, above, compared)
		}
	}
	steep := func(b *bounder) {
		r := b.rules["Relu"]
		sound := r.relax
		r.relax = func(b *bounder, n *onnx.Node) relaxed {
			lines := sound(b, n)
			lines.lowerSlope = b.add(lines.lowerSlope, b.number(0.3))
			return lines
		}
		b.rules["Relu"] = r
	}
	if above, _ := lines(t, networks[0], steep); above == 0 {
		t.Error("a line that is too steep went unnoticed")
	}
}

func TestSlopesRefused(t *testing.T) {
	m := networks[0].model(1, 0)
	for _, o := range []Options{{Method: IBP, Rows: 1, Slopes: true}, {Method: CROWN, Slopes: true}, {Method: CROWN, Rows: 1, Norm: L2, Slopes: true}} {
		if _, err := New(m, o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
}
