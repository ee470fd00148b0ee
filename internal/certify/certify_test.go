package certify

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"assay/internal/certificate"
	"assay/internal/train/network"
	"assay/onnx"
	"assay/onnx/bounds"
)

func certifier(t *testing.T, m *onnx.Model, o Options) *Certifier {
	t.Helper()
	o.Threads = 1
	c, err := New(m, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func drawn(n, size int, seed uint64) []Input {
	rng := rand.New(rand.NewPCG(seed, 1))
	inputs := make([]Input, n)
	for i := range inputs {
		for range size {
			inputs[i].X = append(inputs[i].X, float32(rng.Float64()))
		}
	}
	return inputs
}

// TestLinear compares with a linear model's margin over the dual norm of its weights,
// which is how far its answer holds.
func TestLinear(t *testing.T) {
	const size, classes = 6, 3
	m := network.Logistic(size, classes, 3)
	w, err := onnx.View[float32](m.Graph.Initializers[0])
	if err != nil || len(w) != size*classes {
		t.Fatal(err, len(w))
	}
	weight := func(i, k int) float64 { return float64(w[i*classes+k]) }
	if s := m.Graph.Initializers[0].Shape; s[0] != size {
		weight = func(i, k int) float64 { return float64(w[k*size+i]) }
	}
	inputs := drawn(20, size, 4)
	for norm, dual := range map[bounds.Norm]func(v []float64) float64{
		bounds.Linf: func(v []float64) (s float64) {
			for _, x := range v {
				s += math.Abs(x)
			}
			return s
		},
		bounds.L2: func(v []float64) (s float64) {
			for _, x := range v {
				s += x * x
			}
			return math.Sqrt(s)
		},
		bounds.L1: func(v []float64) (s float64) {
			for _, x := range v {
				s = max(s, math.Abs(x))
			}
			return s
		},
	} {
		c := certifier(t, m, Options{Norm: norm, Batch: 7})
		for i, in := range inputs {
			scores := make([]float64, classes)
			for k := range scores {
				for j, x := range in.X {
					scores[k] += weight(j, k) * float64(x)
				}
			}
			top := slices.Index(scores, slices.Max(scores))
			exact := math.Inf(1)
			for k := range scores {
				if k != top {
					difference := make([]float64, size)
					for j := range difference {
						difference[j] = weight(j, top) - weight(j, k)
					}
					exact = min(exact, (scores[top]-scores[k])/dual(difference))
				}
			}
			radii := []float64{exact / 2, exact * 0.999, exact * 1.001, exact * 2}
			list, err := c.Certify(t.Context(), []Input{{in.X, top}}, bounds.Space{}, radii)
			if err != nil {
				t.Fatal(err)
			}
			if got := list[0]; got.Radius != radii[1] || got.Class != top || !got.Correct {
				t.Errorf("norm %d, input %d: %+v, want the radius %v below %v", norm, i, got, radii[1], exact)
			}
		}
	}
}

// TestCertifiedNeverBroken attacks what is certified, on corners of the box and by
// climbing from them, and what is not.
func TestCertifiedNeverBroken(t *testing.T) {
	const size, eps = 8, 0.05
	plain := network.MLP(size, []int{24, 16}, 4, 9)
	b := onnx.Extend(plain.Clone().Graph)
	out := b.Graph.Outputs[0]
	b.Graph.Outputs = nil
	b.Output(b.Op("Softmax", nil, out.Name), onnx.Float32, out.Type.Shape)
	for name, m := range map[string]*onnx.Model{"logits": plain, "softmax": b.Model()} {
		for _, method := range []bounds.Method{bounds.IBP, bounds.CROWNIBP, bounds.CROWN} {
			t.Run(fmt.Sprint(name, method), func(t *testing.T) {
				c := certifier(t, m, Options{Method: method})
				inputs := drawn(60, size, 5)
				classes, err := c.answers(t.Context(), inputs)
				if err != nil {
					t.Fatal(err)
				}
				for i := range inputs {
					inputs[i].Label = classes[i]
				}
				list, err := c.Certify(t.Context(), inputs, bounds.Space{}, []float64{eps / 4, eps})
				if err != nil {
					t.Fatal(err)
				}
				certified, broken := 0, 0
				for i, in := range inputs {
					fell := attacked(t, c, in, eps, uint64(i))
					if list[i].Radius >= eps {
						certified++
						if fell {
							t.Errorf("input %d is certified and broken", i)
						}
					}
					if fell {
						broken++
					}
				}
				t.Logf("%d certified, %d not broken, of %d", certified, len(inputs)-broken, len(inputs))
				if certified == 0 && method == bounds.CROWN || certified == len(inputs) {
					t.Errorf("%d of %d are certified: nothing is tested", certified, len(inputs))
				}
				if points, err := certificate.Accuracy(list, []float64{eps}, 0.95); err != nil || points[0].Hits != certified {
					t.Errorf("%v, %v", points, err)
				}
			})
		}
	}
}

// attacked tries corners of the box at random.
func attacked(t *testing.T, c *Certifier, in Input, eps float64, seed uint64) bool {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 8))
	tries := make([]Input, 200)
	for i := range tries {
		for _, x := range in.X {
			tries[i].X = append(tries[i].X, float32(float64(x)+eps*float64(2*rng.IntN(2)-1)))
		}
	}
	classes, err := c.answers(t.Context(), tries)
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(classes, func(k int) bool { return k != in.Label })
}

func TestRefusals(t *testing.T) {
	b := onnx.NewBuilder("strange")
	x := b.Input("x", onnx.Float32, "batch", 4)
	b.Output(b.Op("Sin", nil, x), onnx.Float32, onnx.Dims("batch", 4))
	if _, err := New(b.Model(), Options{}); err == nil || !strings.Contains(err.Error(), "Sin") {
		t.Error(err)
	}
	c := certifier(t, network.Logistic(3, 2, 1), Options{})
	for name, try := range map[string]func() error{
		"a short input": func() error {
			_, err := c.Certify(t.Context(), []Input{{X: []float32{1}}}, bounds.Space{}, []float64{1})
			return err
		},
		"radii that do not ascend": func() error {
			_, err := c.Certify(t.Context(), drawn(1, 3, 1), bounds.Space{}, []float64{2, 1})
			return err
		},
		"an input outside of the limits": func() error {
			_, err := c.Certify(t.Context(), drawn(1, 3, 1), bounds.Space{Low: []float32{5, 5, 5}}, []float64{1})
			return err
		},
		"a run that is over": func() error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := c.Certify(ctx, drawn(1, 3, 1), bounds.Space{}, []float64{1})
			return err
		},
	} {
		if try() == nil {
			t.Errorf("%s is no error", name)
		}
	}
}
