package autodiff

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"assay/internal/model/ort"
	"assay/onnx"
)

// recurrentCase is a recurrent layer on random values.
type recurrentCase struct {
	op         string
	direction  string
	lengths    []int64 // of the sequences
	attrs      onnx.Attrs
	plain      bool // without bias, initial states and peepholes
	dynamic    bool
	batchFirst bool
}

func (r recurrentCase) String() string {
	return fmt.Sprint(r.op, " ", r.direction, r.lengths, r.attrs, r.plain, r.dynamic, r.batchFirst)
}

var gatesOf = map[string]int64{"RNN": 1, "GRU": 3, "LSTM": 4}

func (r recurrentCase) build() *trial {
	const steps, batch, width, hidden = 4, 3, 2, 3
	directions, gates := int64(1), gatesOf[r.op]
	if r.direction == "bidirectional" {
		directions = 2
	}
	c := newTrial(3)
	arranged := func(shape ...int64) []int64 {
		if r.batchFirst {
			shape[0], shape[1] = shape[1], shape[0]
		}
		return shape
	}
	x := arranged(steps, batch, width)
	stated := onnx.Fixed(x...)
	if r.dynamic {
		stated = onnx.Dims("steps", "batch", width)
	}
	inputs := []string{
		c.input("X", stated, x...), c.weight("W", directions, gates*hidden, width), c.weight("R", directions, gates*hidden, hidden),
		"", "", "", "", "",
	}
	if r.lengths != nil {
		lengths, _ := onnx.FromFloat64s("lengths", onnx.Int32, []float64{float64(r.lengths[0]), float64(r.lengths[1]), float64(r.lengths[2])})
		inputs[4] = c.Weight(lengths)
	}
	if !r.plain {
		inputs[3] = c.weight("B", directions, 2*gates*hidden)
		inputs[5] = c.fixedInput("initial_h", arranged(directions, batch, hidden)...)
		if r.op == "LSTM" {
			inputs[6] = c.fixedInput("initial_c", arranged(directions, batch, hidden)...)
			inputs[7] = c.weight("P", directions, 3*hidden)
		}
	}
	if r.op != "LSTM" {
		inputs = inputs[:6]
	}
	attrs := onnx.Attrs{"hidden_size": int64(hidden), "direction": r.direction}
	for name, v := range r.attrs {
		attrs[name] = v
	}
	if r.batchFirst {
		attrs["layout"] = int64(1)
	}
	outputs := []string{"Y", "Y_h", "Y_c"}[:1+len(inputs)/3]
	if r.op != "LSTM" {
		outputs = outputs[:2]
	}
	c.Add(r.op, attrs, inputs, outputs)
	for i, o := range outputs {
		rank := 4
		if i > 0 {
			rank = 3
		}
		c.Output(o, onnx.Float32, onnx.Dims(slices.Repeat([]any{-1}, rank)...))
	}
	return c
}

// expanded is the model with its recurrent layers replaced.
func expanded(t *testing.T, m *onnx.Model, value string, wrt ...string) *onnx.Model {
	t.Helper()
	g, err := New(m)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := g.prepare(value, wrt); err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(g.Graph.Nodes, func(n *onnx.Node) bool { return gatesOf[n.Op] > 0 }) {
		t.Fatal("it is not expanded")
	}
	return g.Model()
}

func run(t *testing.T, m *onnx.Model, feeds map[string]any) [][]float32 {
	t.Helper()
	s, err := ort.New(m, ort.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	inputs := make([]any, len(s.Inputs()))
	for i, v := range s.Inputs() {
		inputs[i] = feeds[v.Name]
	}
	outputs, err := runAll(s, inputs)
	if err != nil {
		t.Fatal(err)
	}
	all := make([][]float32, len(outputs))
	for i, o := range outputs {
		all[i] = ort.Data[float32](o)
	}
	return all
}

func recurrentCases() []recurrentCase {
	all := []recurrentCase{}
	for _, op := range []string{"RNN", "GRU", "LSTM"} {
		for _, direction := range []string{"forward", "reverse", "bidirectional"} {
			all = append(all,
				recurrentCase{op: op, direction: direction, plain: true},
				recurrentCase{op: op, direction: direction, plain: true, dynamic: true},
				recurrentCase{op: op, direction: direction},
				recurrentCase{op: op, direction: direction, lengths: []int64{4, 1, 3}},
				recurrentCase{op: op, direction: direction, lengths: []int64{2, 0, 3}, dynamic: true},
			)
		}
		all = append(all, recurrentCase{op: op, direction: "forward", attrs: onnx.Attrs{"clip": float32(0.7)}})
	}
	for _, direction := range []string{"forward", "reverse", "bidirectional"} {
		before := onnx.Attrs{"linear_before_reset": int64(1)}
		all = append(all,
			recurrentCase{op: "GRU", direction: direction, attrs: before},
			recurrentCase{op: "GRU", direction: direction, attrs: before, plain: true, lengths: []int64{3, 4, 2}},
		)
	}
	coupled := onnx.Attrs{"input_forget": int64(1)}
	all = append(all,
		recurrentCase{op: "LSTM", direction: "forward", attrs: coupled},
		recurrentCase{op: "LSTM", direction: "forward", attrs: coupled, plain: true},
	)
	for _, f := range []string{"Relu", "Affine", "LeakyRelu", "ThresholdedRelu", "ScaledTanh", "HardSigmoid", "Elu", "Softsign", "Softplus"} {
		attrs := onnx.Attrs{"activations": []string{f}}
		if f == "ScaledTanh" || f == "Affine" || f == "ThresholdedRelu" { // the runtime's defaults are not ONNX's
			attrs["activation_alpha"], attrs["activation_beta"] = []float32{0.8}, []float32{0.6}
		}
		all = append(all, recurrentCase{op: "RNN", direction: "forward", attrs: attrs})
	}
	all = append(all,
		recurrentCase{op: "RNN", direction: "bidirectional", attrs: onnx.Attrs{
			"activations": []string{"LeakyRelu", "HardSigmoid"}, "activation_alpha": []float32{0.3, 0.25}, "activation_beta": []float32{0.4},
		}},
		recurrentCase{op: "LSTM", direction: "forward", attrs: onnx.Attrs{
			"activations": []string{"HardSigmoid", "Affine", "Elu"}, "activation_alpha": []float32{0.3, 0.25, 0.7}, "activation_beta": []float32{0.4, 0.1},
		}},
		recurrentCase{op: "GRU", direction: "forward", attrs: onnx.Attrs{"activations": []string{"HardSigmoid", "Softsign"}}},
	)
	return all
}

// TestRecurrentForward compares the expansion with the runtime's own operator.
func TestRecurrentForward(t *testing.T) {
	for _, r := range recurrentCases() {
		t.Run(r.String(), func(t *testing.T) {
			c := r.build()
			want := run(t, c.Model(), c.feeds)
			m := expanded(t, c.Model(), "Y", "X")
			got := run(t, m, c.feeds)
			for i := range want {
				for j, w := range want[i] {
					if !(math.Abs(float64(got[i][j]-w)) <= 2e-6*(1+math.Abs(float64(w)))) {
						t.Fatalf("output %d: %v, not %v", i, got[i], want[i])
					}
				}
			}
		})
	}
}

// TestRecurrentGradient compares gradients with differences. In one direction alone a
// layer has the same rules as in both.
func TestRecurrentGradient(t *testing.T) {
	for _, r := range recurrentCases() {
		if r.direction == "reverse" || r.direction == "forward" && r.attrs == nil {
			continue
		}
		t.Run(r.String(), func(t *testing.T) {
			r.build().check(t)
		})
	}
}

// TestRecurrentPyTorch compares with the bidirectional layers of PyTorch 1.13.1 in
// float64, whose weights, inputs and seed were set to the same sines.
func TestRecurrentPyTorch(t *testing.T) {
	const steps, batch, width, hidden = 3, 2, 2, 2
	sines := func(name string, start int, shape ...int64) *onnx.Tensor {
		n, _ := onnx.Count(shape)
		values := make([]float64, n)
		for i := range values {
			values[i] = math.Sin(float64(start + i))
		}
		return onnx.NewTensor(name, values, shape...)
	}
	for op, want := range map[string][]float64{
		"LSTM": {0.093534896, 0.042207736, 0.186174669, 0.389611384, 0.324515418, 0.379422606,
			-0.018540745, 0.023277329, 0.024435186, 0.086091166, -0.270575426, -0.287592385},
		"GRU": {0.202613718, 0.091101543, -0.016025299, 0.041668612, -0.211818613, 0.232739436,
			-0.401172344, -0.037618472, -0.061679105, -0.133502413, 0.302243474, -0.045728774},
		"RNN": {-0.463106118, 0.301859532, 1.208512448, 0.556007646, 1.817128364, -0.000136699,
			0.165244959, 0.348369755, 0.045834636, 0.054827216, -1.865221519, -0.861751303},
	} {
		gates := gatesOf[op]
		b := onnx.NewBuilder(op)
		x := b.Weight(sines("X", 4, steps, batch, width))
		attrs := onnx.Attrs{"hidden_size": int64(hidden), "direction": "bidirectional"}
		if op == "GRU" {
			attrs["linear_before_reset"] = int64(1) // PyTorch's form
		}
		y := b.Op(op, attrs, x,
			b.Weight(sines("W", 1, 2, gates*hidden, width)), b.Weight(sines("R", 2, 2, gates*hidden, hidden)),
			b.Weight(sines("B", 3, 2, 2*gates*hidden)))
		b.Output(y, onnx.Float64, onnx.Fixed(steps, 2, batch, hidden))
		g, err := New(b.Model())
		if err != nil {
			t.Fatal(err)
		}
		grads, err := g.Pullback(y, g.Weight(sines("seed", 5, steps, 2, batch, hidden)), x)
		if err != nil {
			t.Fatal(err)
		}
		g.Graph.Outputs = nil
		g.OutputAs("dX", grads.Names[0], onnx.Float64, onnx.Fixed(steps, batch, width))
		s, err := ort.New(g.Model(), ort.Options{Threads: 1})
		if err != nil {
			t.Fatal(err)
		}
		out, err := runAll(s, nil)
		s.Close()
		if err != nil {
			t.Fatal(err)
		}
		for i, got := range ort.Data[float64](out[0]) {
			if !(math.Abs(got-want[i]) < 1e-8) {
				t.Errorf("%s: dX is %v, not %v", op, ort.Data[float64](out[0]), want)
				break
			}
		}
	}
}

// TestRecurrentBatchFirst compares the layouts: the runtime has only the one with
// time first.
func TestRecurrentBatchFirst(t *testing.T) {
	for _, op := range []string{"RNN", "GRU", "LSTM"} {
		for _, lengths := range [][]int64{nil, {4, 1, 3}} {
			c := recurrentCase{op: op, direction: "bidirectional", lengths: lengths, batchFirst: true}.build()
			first := run(t, expanded(t, c.Model(), "Y", "X"), c.feeds)
			// The same layer with time first, between transposes.
			n := c.Graph.Nodes[0]
			delete(n.Attrs, "layout")
			n.Name = "layer"
			c.Graph.Nodes = nil
			turn := func(v string, perm ...int64) string { return c.Op("Transpose", onnx.Attrs{"perm": perm}, v) }
			for i, v := range n.Inputs {
				if v != "" && (i == 0 || i == 5 || i == 6) {
					n.Inputs[i] = turn(v, 1, 0, 2)
				}
			}
			c.Graph.Nodes = append(c.Graph.Nodes, n)
			for i, o := range n.Outputs {
				n.Outputs[i] = c.Name(o + "_first")
				perm := []int64{2, 0, 1, 3}
				if i > 0 {
					perm = []int64{1, 0, 2}
				}
				c.Add("Transpose", onnx.Attrs{"perm": perm}, []string{n.Outputs[i]}, []string{o})
			}
			want := run(t, c.Model(), c.feeds)
			for i := range want {
				for j, w := range want[i] {
					if !(math.Abs(float64(first[i][j]-w)) <= 2e-6*(1+math.Abs(float64(w)))) {
						t.Fatalf("%s: output %d is %v, not %v", op, i, first[i], want[i])
					}
				}
			}
		}
	}
}
