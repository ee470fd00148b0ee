package upgrade_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"assay/onnx"
	"assay/onnx/infer"
	"assay/onnx/upgrade"
)

type form struct {
	opset   int64
	op      string
	attrs   onnx.Attrs
	shape   []int64   // of the first input
	weights [][]int64 // shapes of constant float inputs after it
	scales  []float32 // a constant input after it
	outputs int       // more than one
}

var forms = []form{
	{opset: 7, op: "Squeeze", attrs: onnx.Attrs{"axes": []int64{0, 2}}, shape: []int64{1, 3, 1, 4}},
	{opset: 11, op: "Squeeze", attrs: onnx.Attrs{"axes": []int64{-2}}, shape: []int64{1, 3, 1, 4}},
	{opset: 7, op: "Squeeze", shape: []int64{1, 3, 1, 4}},
	{opset: 7, op: "Unsqueeze", attrs: onnx.Attrs{"axes": []int64{0, 3}}, shape: []int64{2, 3}},
	{opset: 7, op: "Softmax", shape: []int64{2, 3, 4}},
	{opset: 7, op: "Softmax", attrs: onnx.Attrs{"axis": int64(0)}, shape: []int64{2, 3}},
	{opset: 7, op: "Softmax", attrs: onnx.Attrs{"axis": int64(2)}, shape: []int64{2, 3, 4}},
	{opset: 11, op: "Softmax", attrs: onnx.Attrs{"axis": int64(-2)}, shape: []int64{2, 3, 4}},
	{opset: 11, op: "LogSoftmax", attrs: onnx.Attrs{"axis": int64(1)}, shape: []int64{2, 3, 4, 2}},
	{opset: 11, op: "LogSoftmax", attrs: onnx.Attrs{"axis": int64(-1)}, shape: []int64{2, 3, 4}},
	{opset: 11, op: "Hardmax", attrs: onnx.Attrs{"axis": int64(1)}, shape: []int64{2, 3, 4}},
	{opset: 7, op: "Clip", attrs: onnx.Attrs{"min": float32(-0.5), "max": float32(0.25)}, shape: []int64{3, 4}},
	{opset: 7, op: "Clip", attrs: onnx.Attrs{"min": float32(0)}, shape: []int64{3, 4}},
	{opset: 7, op: "Pad", attrs: onnx.Attrs{"pads": []int64{0, 1, 2, 0}, "value": float32(1.5)}, shape: []int64{3, 4}},
	{opset: 7, op: "Pad", attrs: onnx.Attrs{"pads": []int64{0, 2, 0, 1}, "mode": "reflect"}, shape: []int64{3, 4}},
	{opset: 7, op: "Pad", attrs: onnx.Attrs{"pads": []int64{-1, 0, 1, -2}, "mode": "edge"}, shape: []int64{3, 4}},
	{opset: 7, op: "Slice", attrs: onnx.Attrs{"starts": []int64{1, -2}, "ends": []int64{1000, 4}, "axes": []int64{0, 1}}, shape: []int64{3, 4}},
	{opset: 7, op: "Slice", attrs: onnx.Attrs{"starts": []int64{0}, "ends": []int64{-1}}, shape: []int64{3, 4}},
	{opset: 7, op: "TopK", attrs: onnx.Attrs{"k": int64(2)}, shape: []int64{3, 4}, outputs: 2},
	{opset: 7, op: "TopK", attrs: onnx.Attrs{"k": int64(2), "axis": int64(0)}, shape: []int64{3, 4}, outputs: 2},
	{opset: 7, op: "Dropout", attrs: onnx.Attrs{"ratio": float32(0.3)}, shape: []int64{3, 4}},
	{opset: 10, op: "Dropout", shape: []int64{3, 4}},
	{opset: 7, op: "Upsample", attrs: onnx.Attrs{"scales": []float32{1, 1, 2, 3}}, shape: []int64{1, 2, 3, 4}},
	{opset: 7, op: "Upsample", attrs: onnx.Attrs{"scales": []float32{1, 1, 2, 2}, "mode": "linear"}, shape: []int64{1, 2, 3, 4}},
	{opset: 9, op: "Upsample", shape: []int64{1, 2, 3, 4}, scales: []float32{1, 1, 1.6, 2.5}},
	{opset: 9, op: "Upsample", attrs: onnx.Attrs{"mode": "linear"}, shape: []int64{1, 2, 3, 4}, scales: []float32{1, 1, 1.5, 2}},
	{opset: 10, op: "Resize", shape: []int64{1, 2, 6, 5}, scales: []float32{1, 1, 1.7, 2.4}},
	{opset: 10, op: "Resize", shape: []int64{1, 2, 6, 5}, scales: []float32{1, 1, 0.6, 0.7}},
	{opset: 10, op: "Resize", shape: []int64{1, 2, 6, 5}, scales: []float32{1, 1, 0.6, 2.3}},
	{opset: 10, op: "Resize", attrs: onnx.Attrs{"mode": "linear"}, shape: []int64{1, 2, 6, 5}, scales: []float32{1, 1, 0.6, 2.3}},
	{opset: 7, op: "BatchNormalization", shape: []int64{2, 3, 4}, weights: [][]int64{{3}, {3}, {3}, {3}}},
	{opset: 7, op: "BatchNormalization", attrs: onnx.Attrs{"spatial": int64(0), "epsilon": float32(0.01)}, shape: []int64{2, 3, 4},
		weights: [][]int64{{3, 4}, {3, 4}, {3, 4}, {3, 4}}},
	{opset: 9, op: "BatchNormalization", shape: []int64{2, 3, 4}, weights: [][]int64{{3}, {3}, {3}, {3}}},
	{opset: 18, op: "GroupNormalization", attrs: onnx.Attrs{"num_groups": int64(2)}, shape: []int64{2, 6, 3}, weights: [][]int64{{2}, {2}}},
	{opset: 7, op: "Split", attrs: onnx.Attrs{"axis": int64(1), "split": []int64{1, 3}}, shape: []int64{2, 4}, outputs: 2},
	{opset: 7, op: "Split", attrs: onnx.Attrs{"axis": int64(1)}, shape: []int64{2, 4}, outputs: 2},
	{opset: 13, op: "Split", attrs: onnx.Attrs{"axis": int64(-1)}, shape: []int64{2, 4}, outputs: 2},
	{opset: 7, op: "ReduceSum", attrs: onnx.Attrs{"axes": []int64{1}, "keepdims": int64(0)}, shape: []int64{2, 3, 4}},
	{opset: 7, op: "ReduceSum", shape: []int64{2, 3, 4}},
	{opset: 13, op: "ReduceMean", attrs: onnx.Attrs{"axes": []int64{-1, 0}}, shape: []int64{2, 3, 4}},
	{opset: 11, op: "ReduceL2", attrs: onnx.Attrs{"axes": []int64{2}}, shape: []int64{2, 3, 4}},
	{opset: 7, op: "ReduceLogSumExp", attrs: onnx.Attrs{"axes": []int64{0}}, shape: []int64{2, 3, 4}},
	{opset: 13, op: "ReduceMax", shape: []int64{2, 3, 4}},
	{opset: 16, op: "GridSample", attrs: onnx.Attrs{"mode": "bicubic"}, shape: []int64{1, 2, 4, 4}, weights: [][]int64{{1, 3, 3, 2}}},
	{opset: 16, op: "GridSample", shape: []int64{1, 2, 4, 4}, weights: [][]int64{{1, 3, 3, 2}}},
	{opset: 7, op: "PRelu", shape: []int64{2, 3, 4}, weights: [][]int64{{3, 1}}},
	{opset: 7, op: "Gemm", attrs: onnx.Attrs{"transB": int64(1)}, shape: []int64{2, 3}, weights: [][]int64{{4, 3}, {4}}},
	{opset: 7, op: "LSTM", attrs: onnx.Attrs{"hidden_size": int64(2)}, shape: []int64{3, 2, 4}, weights: [][]int64{{1, 8, 4}, {1, 8, 2}}, outputs: 3},
	{opset: 7, op: "GRU", attrs: onnx.Attrs{"hidden_size": int64(2)}, shape: []int64{3, 2, 4}, weights: [][]int64{{1, 6, 4}, {1, 6, 2}}, outputs: 2},
	{opset: 8, op: "MaxPool", attrs: onnx.Attrs{"kernel_shape": []int64{2, 2}}, shape: []int64{1, 2, 4, 4}, outputs: 2},
	{opset: 7, op: "AveragePool", attrs: onnx.Attrs{"kernel_shape": []int64{3}, "pads": []int64{1, 1}}, shape: []int64{1, 2, 5}},
	{opset: 11, op: "DepthToSpace", attrs: onnx.Attrs{"blocksize": int64(2)}, shape: []int64{1, 8, 2, 3}},
	{opset: 7, op: "ArgMax", attrs: onnx.Attrs{"axis": int64(1)}, shape: []int64{2, 3}},
	{opset: 7, op: "Sum", shape: []int64{2, 3}, weights: [][]int64{{2, 3}, {2, 3}}},
}

// model makes a model of the one operator; a nil shape leaves that of its input open.
func (f form) model(r *rand.Rand, shape onnx.Shape) *onnx.Model {
	b := onnx.NewBuilder("old")
	inputs := []string{b.Name("x")}
	b.Graph.Inputs = []onnx.Value{{Name: "x", Type: onnx.TensorOf(onnx.Float32, shape)}}
	for i, s := range f.weights {
		inputs = append(inputs, b.Weight(random(r, fmt.Sprint("w", i), s...)))
	}
	if f.scales != nil {
		inputs = append(inputs, b.Weight(onnx.NewTensor("scales", f.scales)))
	}
	elem := onnx.Float32
	if f.op == "ArgMax" {
		elem = onnx.Int64
	}
	for i, out := range b.Ops(f.op, f.attrs, max(f.outputs, 1), inputs...) {
		if i == 1 && (f.op == "TopK" || f.op == "MaxPool") {
			elem = onnx.Int64
		}
		b.Output(out, elem, nil)
	}
	m := b.Model()
	m.Opsets[""], m.IRVersion = f.opset, 7
	return m
}

// random gives positive numbers: some of the operators take roots and logarithms.
func random(r *rand.Rand, name string, shape ...int64) *onnx.Tensor {
	n, _ := onnx.Count(shape)
	values := make([]float32, n)
	for i := range values {
		values[i] = r.Float32()
	}
	return onnx.NewTensor(name, values, shape...)
}

// TestForms runs operators in their old and in their new form.
func TestForms(t *testing.T) {
	for _, f := range forms {
		for _, shape := range []onnx.Shape{onnx.Fixed(f.shape...), nil} {
			name := fmt.Sprintf("%s-%d %v %v", f.op, f.opset, f.attrs, shape)
			r := rand.New(rand.NewPCG(1, 2))
			old := f.model(r, shape)
			upgraded, err := upgrade.To(old, upgrade.Form)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			compare(t, name, old, upgraded, random(r, "", f.shape...))
			if _, err := infer.Shapes(upgraded); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func compare(t *testing.T, name string, old, upgraded *onnx.Model, inputs ...*onnx.Tensor) {
	t.Helper()
	want, err := run(old, inputs)
	if err != nil {
		t.Errorf("%s: the old form: %v", name, err)
		return
	}
	got, err := run(upgraded, inputs)
	if err != nil {
		t.Errorf("%s: the new form: %v", name, err)
		return
	}
	for i := range want {
		if err := near(got[i], want[i], 1e-5, 1e-6); err != nil {
			t.Errorf("%s: output %d: %v", name, i, err)
		}
	}
}

// TestSubgraphs upgrades what stands in the body of a scan over a batch, of operator
// set 8, and in that of a loop.
func TestSubgraphs(t *testing.T) {
	body := onnx.NewBuilder("body")
	state := body.Input("state", onnx.Float32, 2)
	row := body.Input("row", onnx.Float32, 2)
	sum := body.Op("ReduceSum", onnx.Attrs{"axes": []int64{0}, "keepdims": int64(0)},
		body.Op("Unsqueeze", onnx.Attrs{"axes": []int64{0}}, body.Op("Add", nil, state, row)))
	body.Output(sum, onnx.Float32, onnx.Fixed(2))
	body.Output(body.Op("Clip", onnx.Attrs{"max": float32(0.8)}, sum), onnx.Float32, onnx.Fixed(2))

	b := onnx.NewBuilder("batch")
	x := b.Input("x", onnx.Float32, 3, 5, 2)
	outs := b.Ops("Scan", onnx.Attrs{"body": body.Graph, "num_scan_inputs": int64(1), "directions": []int64{1}}, 2,
		"", b.Weight(random(rand.New(rand.NewPCG(3, 4)), "start", 3, 2)), x)
	b.Output(outs[0], onnx.Float32, onnx.Fixed(3, 2))
	b.Output(outs[1], onnx.Float32, onnx.Fixed(3, 5, 2))
	old := b.Model()
	old.Opsets[""], old.IRVersion = 8, 3
	upgraded, err := upgrade.To(old, upgrade.Form)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, "Scan-8", old, upgraded, random(rand.New(rand.NewPCG(5, 6)), "", 3, 5, 2))

	loop := onnx.NewBuilder("round")
	loop.Input("i", onnx.Int64)
	again := loop.Input("again", onnx.Bool)
	carried := loop.Input("carried", onnx.Float32, 2, 3, 2)
	next := loop.Op("Softmax", nil, carried)
	loop.Output(loop.Op("Identity", nil, again), onnx.Bool, onnx.Shape{})
	loop.Output(next, onnx.Float32, onnx.Fixed(2, 3, 2))
	b = onnx.NewBuilder("loop")
	x = b.Input("x", onnx.Float32, 2, 3, 2)
	y := b.Op("Loop", onnx.Attrs{"body": loop.Graph},
		b.Weight(onnx.Scalar("trips", int64(3))), b.Weight(onnx.Scalar("go", true)), x)
	b.Output(y, onnx.Float32, onnx.Fixed(2, 3, 2))
	old = b.Model()
	old.Opsets[""], old.IRVersion = 11, 7
	if upgraded, err = upgrade.To(old, upgrade.Form); err != nil {
		t.Fatal(err)
	}
	compare(t, "Loop-11", old, upgraded, random(rand.New(rand.NewPCG(7, 8)), "", 2, 3, 2))
}

func TestRefused(t *testing.T) {
	model := func(opset int64) *onnx.Model {
		b := onnx.NewBuilder("m")
		b.Output(b.Op("Relu", nil, b.Input("x", onnx.Float32, 1)), onnx.Float32, onnx.Fixed(1))
		m := b.Model()
		m.Opsets[""] = opset
		return m
	}
	if m := model(22); true {
		if same, err := upgrade.To(m, 21); err != nil || same != m {
			t.Errorf("a newer model is not kept: %v", err)
		}
	}
	if m, err := upgrade.To(model(9), 23); err != nil || m.Opset() != 23 {
		t.Errorf("not upgraded to 23: %v", err)
	}
	for _, c := range []struct{ from, to int64 }{{6, 21}, {9, 20}, {9, onnx.MaxOpset + 1}} {
		if _, err := upgrade.To(model(c.from), c.to); err == nil {
			t.Errorf("from %d to %d: no error", c.from, c.to)
		}
	}
}
