package bounds

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"assay/internal/model/ort"
	"assay/onnx"
)

// layer is a dense layer of the independent implementation, in float64.
type layer struct {
	w    [][]float64 // [out][in]
	bias []float64
}

// perceptron is a network of dense layers with ReLU between them, and its bounds by CROWN
// written out from Zhang et al. 2018, section 3, on slices of numbers.
type perceptron struct {
	layers []layer
	// of the inputs of the ReLUs after each layer
	lower, upper [][]float64
	deep         bool // their bounds are CROWN's, else IBP's
	l, u         []float64
}

func (p *perceptron) solve() {
	lo, hi := p.l, p.u
	for k := range p.layers[:len(p.layers)-1] {
		low, high := p.interval(k, lo, hi)
		if p.deep {
			for i := range low {
				row := make([]float64, len(low))
				row[i] = 1
				low[i] = max(low[i], p.below(k, row, 0))
				row[i] = -1
				high[i] = min(high[i], -p.below(k, row, 0))
			}
		}
		p.lower, p.upper = append(p.lower, low), append(p.upper, high)
		lo, hi = make([]float64, len(low)), make([]float64, len(low))
		for i := range low {
			lo[i], hi[i] = max(0, low[i]), max(0, high[i])
		}
	}
}

func (p *perceptron) interval(k int, lo, hi []float64) (low, high []float64) {
	for j, row := range p.layers[k].w {
		l, u := p.layers[k].bias[j], p.layers[k].bias[j]
		for i, w := range row {
			l += min(w*lo[i], w*hi[i])
			u += max(w*lo[i], w*hi[i])
		}
		low, high = append(low, l), append(high, u)
	}
	return low, high
}

// below is a bound of row · the output of layer k, plus a constant.
func (p *perceptron) below(k int, row []float64, constant float64) float64 {
	before := make([]float64, len(p.layers[k].w[0]))
	for j, a := range row {
		constant += a * p.layers[k].bias[j]
		for i, w := range p.layers[k].w[j] {
			before[i] += a * w
		}
	}
	if k == 0 {
		for i, a := range before {
			constant += min(a*p.l[i], a*p.u[i])
		}
		return constant
	}
	for i, a := range before {
		l, u := p.lower[k-1][i], p.upper[k-1][i]
		switch {
		case u <= 0:
			before[i] = 0
		case l >= 0:
		case a >= 0 && u <= -l:
			before[i] = 0
		case a < 0:
			before[i] = a * u / (u - l)
			constant -= a * u / (u - l) * l
		}
	}
	return p.below(k-1, before, constant)
}

// naive is the bound by IBP of the last layer.
func (p *perceptron) naive(row []float64) float64 {
	k := len(p.layers) - 1
	before, constant := make([]float64, len(p.layers[k].w[0])), 0.0
	for j, a := range row {
		constant += a * p.layers[k].bias[j]
		for i, w := range p.layers[k].w[j] {
			before[i] += a * w
		}
	}
	for i, a := range before {
		constant += min(a*max(0, p.lower[k-1][i]), a*max(0, p.upper[k-1][i]))
	}
	return constant
}

// magnitude is the sum of the magnitudes of all products that row's bound is made of.
func (p *perceptron) magnitude(row []float64) float64 {
	size := make([]float64, len(p.l))
	for i := range size {
		size[i] = max(math.Abs(p.l[i]), math.Abs(p.u[i]))
	}
	for _, l := range p.layers {
		next := make([]float64, len(l.w))
		for j, r := range l.w {
			next[j] = math.Abs(l.bias[j])
			for i, w := range r {
				next[j] += math.Abs(w) * size[i]
			}
		}
		size = next
	}
	sum := 0.0
	for j, a := range row {
		sum += math.Abs(a) * size[j]
	}
	return sum
}

// TestIndependent compares with an implementation that shares nothing with this one,
// to 1e-5 of the magnitudes that are summed; none may be above it.
func TestIndependent(t *testing.T) {
	widths := []int64{5, 8, 6, 4}
	for seed := range uint64(6) {
		d := &drawn{onnx.NewBuilder("mlp"), rand.New(rand.NewPCG(seed, 1)), 0}
		x := d.Input("x", onnx.Float32, "batch", widths[0])
		var layers []layer
		for k, out := range widths[1:] {
			in := widths[k]
			w, bias := d.values(1/math.Sqrt(float64(in)), in, out), d.values(0.3, out)
			l := layer{w: make([][]float64, out), bias: make([]float64, out)}
			for j := range out {
				l.bias[j] = float64(bias[j])
				for i := range in {
					l.w[j] = append(l.w[j], float64(w[i*out+j]))
				}
			}
			layers = append(layers, l)
			if k > 0 {
				x = d.Op("Relu", nil, x)
			}
			x = d.Op("Gemm", nil, x, d.Weight(onnx.NewTensor("w", w, in, out)), d.Weight(onnx.NewTensor("b", bias, out)))
		}
		d.Output(x, onnx.Float32, onnx.Dims("batch", 4))
		c := trial{shape: []int64{5}}
		q := c.ask(seed, 10, 1)
		rows := d.values(1, 10, 3, 4)
		for _, method := range []Method{IBP, CROWNIBP, CROWN} {
			bounded, err := New(d.Model(), Options{Method: method, Rows: 3})
			if err != nil {
				t.Fatal(err)
			}
			got := open(t, bounded, ort.OptimizeAll).run(t, ort.NewTensor(q.lower, 10, 5),
				ort.NewTensor(q.upper, 10, 5), ort.NewTensor(rows, 10, 3, 4))[0]
			for i, g := range got {
				box := i / 3
				p := &perceptron{layers: layers, deep: method == CROWN}
				for j := range 5 {
					p.l = append(p.l, float64(q.lower[5*box+j]))
					p.u = append(p.u, float64(q.upper[5*box+j]))
				}
				p.solve()
				row := make([]float64, 4)
				for j := range row {
					row[j] = float64(rows[4*i+j])
				}
				want := p.naive(row)
				if method != IBP {
					want = max(want, p.below(len(layers)-1, row, 0))
				}
				scale := p.magnitude(row)
				if d := want - float64(g); d < 0 || d > 1e-5*scale {
					t.Errorf("seed %d, method %d, row %d: %v, want %v (scale %v)", seed, method, i, g, want, scale)
				}
			}
		}
	}
}

// TestNeverLooser compares the methods on every network.
func TestNeverLooser(t *testing.T) {
	for _, c := range networks {
		m, q := c.model(4, 0), c.ask(2, 20, 1)
		var ibp [][]float32
		for _, method := range []Method{IBP, CROWNIBP, CROWN} {
			bounded, err := New(m, Options{Method: method})
			if err != nil {
				t.Fatal(err)
			}
			got := open(t, bounded, ort.OptimizeAll).run(t, ort.NewTensor(q.lower, q.shape...), ort.NewTensor(q.upper, q.shape...))
			if method == IBP {
				ibp = got
			}
			for i := range ibp[0] {
				// Intervals of narrower inputs may round otherwise.
				rounding := 1e-6 * max(1, ibp[1][i]-ibp[0][i])
				if got[0][i] < ibp[0][i]-rounding || got[1][i] > ibp[1][i]+rounding {
					t.Fatalf("%s: [%v, %v] by method %d, [%v, %v] by IBP", c.name, got[0][i], got[1][i], method, ibp[0][i], ibp[1][i])
				}
			}
		}
	}
}

// TestBalls compares a linear model's bounds in a ball with Hölder's, and that a box
// that is closer counts.
func TestBalls(t *testing.T) {
	for _, norm := range []Norm{L2, L1} {
		t.Run(fmt.Sprint(norm), func(t *testing.T) {
			b := onnx.NewBuilder("linear")
			x := b.Input("x", onnx.Float32, "batch", 3)
			y := b.Op("MatMul", nil, x, b.Weight(onnx.NewTensor("w", []float32{3, -4, 1}, 3, 1)))
			b.Output(y, onnx.Float32, onnx.Dims("batch", 1))
			bounded, err := New(b.Model(), Options{Method: CROWN, Norm: norm})
			if err != nil {
				t.Fatal(err)
			}
			tensor := func(v ...float32) *ort.Tensor { return ort.NewTensor(v, 2, int64(len(v)/2)) }
			got := open(t, bounded, ort.OptimizeAll).run(t, tensor(-9, -9, -9, 0.5, 0.5, 0.5), tensor(9, 9, 9, 0.6, 0.6, 0.6),
				tensor(0.5, 0.5, 0.5, 0.5, 0.5, 0.5), tensor(2, 2))
			reach := 2 * math.Sqrt(26)
			if norm == L1 {
				reach = 8
			}
			for i, want := range []float64{-reach, -0.4} {
				if g := float64(got[0][i]); g > want || g < want-1e-3 {
					t.Errorf("at least %v, want %v", g, want)
				}
			}
			for i, want := range []float64{reach, 0.4} {
				if g := float64(got[1][i]); g < want || g > want+1e-3 {
					t.Errorf("at most %v, want %v", g, want)
				}
			}
		})
	}
}
