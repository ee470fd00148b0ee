package autodiff

import (
	"context"
	"fmt"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
	"assay/onnx"
)

// operatorCase is one use of an operator. Inputs x, y, … are of the given shapes and
// random, but for those with content of their own.
type operatorCase struct {
	name   string
	shapes [][]int64
	build  func(b *onnx.Builder, in ...string) string
	given  map[int][]float64 // content of an input
}

// model builds the case with inputs of fixed shape, or with every size known only when
// the model runs.
func (c operatorCase) model(elem onnx.DataType, fixed bool) *onnx.Model {
	b := onnx.NewBuilder(c.name)
	in := make([]string, len(c.shapes))
	for i, shape := range c.shapes {
		dims := make([]any, len(shape))
		for j, size := range shape {
			dims[j] = size
			if !fixed {
				dims[j] = fmt.Sprintf("size%d%d", i, j)
			}
		}
		in[i] = b.Input(string("xyzuvw"[i]), elem, dims...)
	}
	y := c.build(b, in...)
	b.Graph.Outputs = append(b.Graph.Outputs, onnx.Value{Name: y, Type: onnx.TensorOf(elem, nil)})
	return b.Model()
}

func (c operatorCase) values(i int, seed uint64) []float64 {
	if v, ok := c.given[i]; ok {
		return v
	}
	n, _ := onnx.Count(c.shapes[i])
	rng := rand.New(rand.NewPCG(seed, uint64(i)))
	values := make([]float64, n)
	for j := range values {
		values[j] = rng.NormFloat64()
	}
	return values
}

func (c operatorCase) seed() uint64 {
	h := fnv.New64()
	h.Write([]byte(c.name))
	return h.Sum64()
}

// checkDifferences compares the gradients of cases with finite differences, for fixed
// and for dynamic shapes.
func checkDifferences(t *testing.T, cases []operatorCase) {
	t.Helper()
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	for _, c := range cases {
		for _, fixed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/fixed=%v", c.name, fixed), func(t *testing.T) {
				feeds := map[string]float64eval.Value{}
				for i, shape := range c.shapes {
					feeds[string("xyzuvw"[i])] = narrow(c.values(i, c.seed()), shape)
				}
				compared, err := gradientCheck{model: c.model(onnx.Float32, fixed), feeds: feeds, seed: c.seed()}.run()
				if err != nil {
					t.Error(err)
				} else if compared == 0 {
					t.Error("nothing was compared")
				}
			})
		}
	}
}

// checkAdjoint tests operators that are linear in their first input x, and that the
// runtime has in float32 only: for random u and v, ⟨L·u, v⟩ = ⟨u, Lᵀ·v⟩.
func checkAdjoint(t *testing.T, cases []operatorCase) {
	t.Helper()
	if len(cases) == 0 {
		t.Fatal("no cases")
	}
	for _, c := range cases {
		for _, fixed := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/fixed=%v", c.name, fixed), func(t *testing.T) {
				left, right, size := c.adjoint(t, fixed)
				if math.Abs(left-right) > 1e-5*size {
					t.Errorf("⟨L·u, v⟩ is %g, ⟨u, Lᵀ·v⟩ %g", left, right)
				}
			})
		}
	}
}

func (c operatorCase) adjoint(t *testing.T, fixed bool) (left, right, size float64) {
	m := c.model(onnx.Float32, fixed)
	feeds := make([]*ort.Tensor, len(c.shapes))
	for i, shape := range c.shapes {
		feeds[i] = narrow(c.values(i, c.seed()), shape)
	}
	ly := runModel(t, m, feeds...)[0]
	y := m.Graph.Outputs[0].Name
	g, err := pullbackModel(m, y, onnx.Float32, []string{"x"})
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(c.seed(), 99))
	v := make([]float32, ly.Len())
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	ltv := runModel(t, g, append(slices.Clone(feeds), ort.NewTensor(v, ly.Shape...))...)[0]
	if !slices.Equal(ltv.Shape, c.shapes[0]) {
		t.Fatalf("the gradient has the shape %v, not %v", ltv.Shape, c.shapes[0])
	}
	dot := func(a, b []float32) (sum, absolute float64) {
		for i := range a {
			p := float64(a[i]) * float64(b[i])
			sum, absolute = sum+p, absolute+math.Abs(p)
		}
		return sum, absolute
	}
	left, size = dot(ort.Data[float32](ly), v)
	right, _ = dot(ort.Data[float32](feeds[0]), ort.Data[float32](ltv))
	if size == 0 {
		t.Fatal("the output is zero everywhere")
	}
	return left, right, size
}

// checkSteps compares the gradient of the sum of a case's output by its i-th input, in
// float32, with central differences of the given step along each of its elements.
func checkSteps(t *testing.T, c operatorCase, i int, step float32, tolerance float64) {
	t.Helper()
	m := c.model(onnx.Float32, true)
	feeds := make([]*ort.Tensor, len(c.shapes))
	for j, shape := range c.shapes {
		feeds[j] = narrow(c.values(j, c.seed()), shape)
	}
	sum := func() (total float64) {
		for _, y := range ort.Data[float32](runModel(t, m, feeds...)[0]) {
			total += float64(y)
		}
		return total
	}
	g, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	grads, err := g.Gradient(m.Graph.Outputs[0].Name, m.Graph.Inputs[i].Name)
	if err != nil {
		t.Fatal(err)
	}
	g.Graph.Outputs = nil
	g.OutputAs("gradient", grads.Names[0], onnx.Float32, onnx.Fixed(c.shapes[i]...))
	got := ort.Data[float32](runModel(t, g.Model(), feeds...)[0])
	x := ort.Data[float32](feeds[i])
	size := 0.0
	for _, v := range got {
		size = max(size, math.Abs(float64(v)))
	}
	if size == 0 {
		t.Errorf("%s: the gradient is zero", c.name)
	}
	for j := range x {
		was := x[j]
		x[j] = was + step
		above := sum()
		x[j] = was - step
		difference := (above - sum()) / (2 * float64(step))
		x[j] = was
		if math.Abs(difference-float64(got[j])) > tolerance*size {
			t.Errorf("%s: along element %d the gradient is %g, the difference %g", c.name, j, got[j], difference)
		}
	}
}

func runModel(t *testing.T, m *onnx.Model, feeds ...*ort.Tensor) []*ort.Tensor {
	t.Helper()
	s, err := ort.New(m, ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	outputs := make([]*ort.Tensor, len(s.Outputs()))
	if err := s.Run(context.Background(), feeds, outputs); err != nil {
		t.Fatal(err)
	}
	return outputs
}

func narrow(values []float64, shape []int64) *ort.Tensor {
	list := make([]float32, len(values))
	for i, v := range values {
		list[i] = float32(v)
	}
	return ort.NewTensor(list, shape...)
}

// apply is a case's node with constant inputs after x.
func apply(op string, attrs onnx.Attrs, constants ...*onnx.Tensor) func(b *onnx.Builder, in ...string) string {
	return func(b *onnx.Builder, in ...string) string {
		inputs := slices.Clone(in)
		for _, t := range constants {
			if t == nil {
				inputs = append(inputs, "")
				continue
			}
			inputs = append(inputs, b.Constant(t))
		}
		return b.Op(op, attrs, inputs...)
	}
}

// hidden is apply with constants that look as if they were computed.
func hidden(op string, attrs onnx.Attrs, constants ...*onnx.Tensor) func(b *onnx.Builder, in ...string) string {
	return func(b *onnx.Builder, in ...string) string {
		inputs := slices.Clone(in)
		for _, t := range constants {
			if t == nil {
				inputs = append(inputs, "")
				continue
			}
			most := b.Op("ReduceMax", onnx.Attrs{"keepdims": int64(0)}, in[0])
			zero := b.Op("Cast", onnx.Attrs{"to": int64(t.Type)}, b.Op("Sub", nil, most, most))
			inputs = append(inputs, b.Op("Add", nil, b.Constant(t), zero))
		}
		return b.Op(op, attrs, inputs...)
	}
}

func ints(values ...int64) *onnx.Tensor { return onnx.NewTensor("", values, int64(len(values))) }

func matrix(rows int64, values ...int64) *onnx.Tensor {
	return onnx.NewTensor("", values, rows, int64(len(values))/rows)
}

func floats(values ...float32) *onnx.Tensor { return onnx.NewTensor("", values, int64(len(values))) }

func shapesOf(shapes ...[]int64) [][]int64 { return shapes }
