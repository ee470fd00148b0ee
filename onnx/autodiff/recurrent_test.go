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

// TestRecurrentGradient compares gradients with differences of the expansion.
func TestRecurrentGradient(t *testing.T) {
	for _, r := range recurrentCases() {
		t.Run(r.String(), func(t *testing.T) {
			c := r.build()
			c.Graph = expanded(t, c.Model(), "Y", "X").Graph
			c.check(t)
		})
	}
}
