package autodiff

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"assay/internal/float64eval"
	"assay/internal/model/ort"
	"assay/onnx"
)

// formed is one node at random inputs, whose shapes the model states or not.
type formed struct {
	op      string
	attrs   onnx.Attrs
	shapes  [][]int64 // of the inputs, nil for one that is left out
	outputs int
	opset   int64
	fixed   map[int]*ort.Tensor // inputs that are not random
}

func (f formed) check(t *testing.T, stated bool) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, uint64(len(f.shapes))))
	b := onnx.NewBuilder("test")
	feeds := map[string]float64eval.Value{}
	var fixed []string
	inputs := make([]string, len(f.shapes))
	for i, shape := range f.shapes {
		if shape == nil {
			continue
		}
		x := f.fixed[i]
		if x == nil {
			n, _ := onnx.Count(shape)
			data := make([]float32, n)
			for j := range data {
				data[j] = rng.Float32()*2 - 0.7
				if f.op == "BatchNormalization" && i == 4 {
					data[j] = rng.Float32() + 0.5
				}
			}
			x = ort.NewTensor(data, shape...)
		}
		dims := make([]any, len(shape))
		for j, d := range shape {
			dims[j] = fmt.Sprintf("d%d_%d", i, j)
			if stated {
				dims[j] = d
			}
		}
		inputs[i] = b.Input(fmt.Sprintf("x%d", i), x.Type, dims...)
		feeds[inputs[i]] = x
		if f.op == "BatchNormalization" && i >= 3 && f.attrs["training_mode"] != nil {
			fixed = append(fixed, inputs[i])
		}
	}
	for i, y := range b.Ops(f.op, f.attrs, max(f.outputs, 1), inputs...) {
		if i > 0 && f.op == "Attention" && f.shapes[4] == nil && i < 3 {
			b.Graph.Nodes[0].Outputs[i] = "" // there is no past to add to
			continue
		}
		b.Graph.Outputs = append(b.Graph.Outputs, onnx.Value{Name: y, Type: onnx.TensorOf(onnx.Float32, nil)})
	}
	m := b.Model()
	m.Opsets[""] = max(f.opset, 21)
	g, err := New(m) // for the ranks of the outputs
	if err != nil {
		t.Fatal(err)
	}
	types, err := inferred(g.Model())
	if err != nil {
		t.Fatal(err)
	}
	for i := range m.Graph.Outputs {
		m.Graph.Outputs[i].Type = types.Of(m.Graph.Outputs[i].Name)
	}
	c := gradientCheck{model: m, feeds: feeds, fixed: fixed, seed: 3}
	if n, err := c.run(); err != nil || n == 0 {
		t.Errorf("%d slopes compared: %v", n, err)
	}
}

func TestNormalisation(t *testing.T) {
	long := []int64{2, 6, 5, 3}
	cases := map[string]formed{
		"batch":                  {op: "BatchNormalization", shapes: [][]int64{long, {6}, {6}, {6}, {6}}},
		"batch, matrix":          {op: "BatchNormalization", shapes: [][]int64{{5, 4}, {4}, {4}, {4}, {4}}},
		"batch, training":        {op: "BatchNormalization", attrs: onnx.Attrs{"training_mode": int64(1)}, outputs: 3, shapes: [][]int64{long, {6}, {6}, {6}, {6}}},
		"batch, training matrix": {op: "BatchNormalization", attrs: onnx.Attrs{"training_mode": int64(1), "momentum": float32(0.3)}, outputs: 3, shapes: [][]int64{{5, 4}, {4}, {4}, {4}, {4}}},
		"batch, training alone":  {op: "BatchNormalization", attrs: onnx.Attrs{"training_mode": int64(1)}, shapes: [][]int64{{3, 4, 5}, {4}, {4}, {4}, {4}}},
		"instance":               {op: "InstanceNormalization", shapes: [][]int64{long, {6}, {6}}},
		"instance, one line":     {op: "InstanceNormalization", shapes: [][]int64{{2, 3, 7}, {3}, {3}}},
		"group":                  {op: "GroupNormalization", attrs: onnx.Attrs{"num_groups": int64(3)}, shapes: [][]int64{long, {6}, {6}}},
		"group of all":           {op: "GroupNormalization", attrs: onnx.Attrs{"num_groups": int64(1)}, shapes: [][]int64{{2, 4, 3}, {4}, {4}}},
		"layer":                  {op: "LayerNormalization", outputs: 3, shapes: [][]int64{long, {3}, {3}}},
		"layer, matrix":          {op: "LayerNormalization", shapes: [][]int64{{4, 6}, {6}}},
		"layer from 1":           {op: "LayerNormalization", attrs: onnx.Attrs{"axis": int64(1)}, outputs: 3, shapes: [][]int64{long, {6, 5, 3}, {6, 5, 3}}},
		"layer from -2":          {op: "LayerNormalization", attrs: onnx.Attrs{"axis": int64(-2), "epsilon": float32(0.1)}, shapes: [][]int64{long, {5, 3}, {5, 3}}},
		"root mean square":       {op: "RMSNormalization", opset: 23, shapes: [][]int64{long, {3}}},
		"root mean square of 2":  {op: "RMSNormalization", opset: 23, attrs: onnx.Attrs{"axis": int64(2)}, shapes: [][]int64{long, {5, 3}}},
		"mean and variance":      {op: "MeanVarianceNormalization", shapes: [][]int64{long}},
		"mean and variance of 1": {op: "MeanVarianceNormalization", attrs: onnx.Attrs{"axes": []int64{1, -1}}, shapes: [][]int64{{2, 3, 4}}},
		"sum":                    {op: "LpNormalization", attrs: onnx.Attrs{"p": int64(1)}, shapes: [][]int64{{4, 5}}},
		"Euclid":                 {op: "LpNormalization", attrs: onnx.Attrs{"axis": int64(0)}, shapes: [][]int64{{4, 5}}},
		"near channels":          {op: "LRN", attrs: onnx.Attrs{"size": int64(3), "alpha": float32(0.5), "bias": float32(2)}, shapes: [][]int64{long}},
		"near channels, more":    {op: "LRN", attrs: onnx.Attrs{"size": int64(5), "alpha": float32(0.5), "beta": float32(0.3)}, shapes: [][]int64{{2, 7, 3, 2}}},
		"softmax":                {op: "Softmax", attrs: onnx.Attrs{"axis": int64(1)}, shapes: [][]int64{{2, 3, 4}}},
		"log softmax":            {op: "LogSoftmax", shapes: [][]int64{{2, 3, 4}}},
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		for _, stated := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, stated %v", name, stated), func(t *testing.T) { cases[name].check(t, stated) })
		}
	}
}

// TestAttention covers what ONNX's backend cases do not: queries that share keys in
// every form, with unknown lengths, and rows that may attend no key.
func TestAttention(t *testing.T) {
	none := []bool{true, false, true, false, false, false, true, true, true} // [3, 3], nothing in row 1
	causal := onnx.Attrs{"is_causal": int64(1)}
	flat := onnx.Attrs{"q_num_heads": int64(4), "kv_num_heads": int64(2), "softcap": float32(0.8), "scale": float32(0.7)}
	q, k := []int64{2, 4, 3, 6}, []int64{2, 2, 5, 6}
	cases := map[string]formed{
		"shared keys":   {shapes: [][]int64{q, k, {2, 2, 5, 3}, {3, 5}}},
		"flat":          {attrs: flat, shapes: [][]int64{{2, 3, 24}, {2, 5, 12}, {2, 5, 6}, {2, 1, 3, 5}}, outputs: 4},
		"causal":        {attrs: causal, shapes: [][]int64{q, k, k}},
		"with the past": {attrs: causal, shapes: [][]int64{q, k, k, {2, 1, 3, 9}, {2, 2, 4, 6}, {2, 2, 4, 6}}, outputs: 4},
		"row without keys": {shapes: [][]int64{q, {2, 4, 3, 6}, {2, 4, 3, 6}, {3, 3}},
			fixed: map[int]*ort.Tensor{3: ort.NewTensor(none, 3, 3)}},
		"padding": {attrs: causal, opset: 24, shapes: [][]int64{q, k, k, nil, nil, nil, {2}},
			fixed: map[int]*ort.Tensor{6: ort.NewTensor([]int64{5, 2}, 2)}},
		"short mask": {opset: 24, shapes: [][]int64{q, k, k, {3, 4}}},
	}
	for mode := range int64(4) {
		cases[fmt.Sprintf("output %d", mode)] = formed{
			attrs:  onnx.Attrs{"qk_matmul_output_mode": mode, "softcap": float32(1.5)},
			shapes: [][]int64{q, k, k, {3, 5}}, outputs: 4,
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		f := cases[name]
		f.op, f.opset = "Attention", max(f.opset, 23)
		for len(f.shapes) < 5 {
			f.shapes = append(f.shapes, nil)
		}
		t.Run(name, func(t *testing.T) { f.check(t, true) })
	}
}

func TestRotaryEmbedding(t *testing.T) {
	for name, f := range map[string]formed{
		"whole":       {shapes: [][]int64{{2, 3, 4, 6}, {2, 4, 3}, {2, 4, 3}}},
		"part":        {attrs: onnx.Attrs{"rotary_embedding_dim": int64(4)}, shapes: [][]int64{{2, 3, 4, 6}, {2, 4, 2}, {2, 4, 2}}},
		"interleaved": {attrs: onnx.Attrs{"interleaved": int64(1), "rotary_embedding_dim": int64(4)}, shapes: [][]int64{{2, 3, 4, 6}, {2, 4, 2}, {2, 4, 2}}},
		"flat": {attrs: onnx.Attrs{"num_heads": int64(3)}, shapes: [][]int64{{2, 4, 18}, {9, 3}, {9, 3}, {2, 4}},
			fixed: map[int]*ort.Tensor{3: ort.NewTensor([]int64{0, 3, 1, 8, 2, 2, 5, 7}, 2, 4)}},
	} {
		f.op, f.opset = "RotaryEmbedding", 23
		t.Run(name, func(t *testing.T) { f.check(t, true) })
	}
}
