package main

import (
	"fmt"
	"math"
	"math/rand/v2"

	"assay/internal/train/network"
	"assay/onnx"
)

// encoder builds a Transformer encoder (Vaswani et al. 2017, arXiv:1706.03762, with
// normalisation before each part) on sequences of vectors, its output averaged over
// the sequence and classified.
type encoder struct {
	*onnx.Builder
	random                *rand.Rand
	length, width, hidden int
	heads                 int
}

// transformer is an encoder of 4 layers on 64 vectors of 256 numbers, with 4 heads
// and 1024 hidden units.
func transformer() *onnx.Model {
	e := &encoder{
		Builder: onnx.NewBuilder("transformer"), random: rand.New(rand.NewPCG(1, 0)),
		length: 64, width: 256, hidden: 1024, heads: 4,
	}
	x := e.Input(network.Input, onnx.Float32, "batch", e.length, e.width)
	for i := range 4 {
		name := fmt.Sprintf("layer%d", i+1)
		x = e.Op("Add", nil, x, e.attention(name, e.normalised(name+".norm1", x)))
		y := e.Op("Gelu", nil, e.dense(name+".wide", e.normalised(name+".norm2", x), e.width, e.hidden))
		x = e.Op("Add", nil, x, e.dense(name+".narrow", y, e.hidden, e.width))
	}
	mean := e.Op("ReduceMean", onnx.Attrs{"keepdims": int64(0)}, e.normalised("norm", x), e.Ints(1))
	logits := e.dense("classes", mean, e.width, 10)
	e.Add("Identity", nil, []string{logits}, []string{e.Name(network.Output)})
	e.Output(network.Output, onnx.Float32, onnx.Dims("batch", 10))
	return e.Model()
}

func (e *encoder) weight(name string, deviation float64, shape ...int64) string {
	n, _ := onnx.Count(shape)
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(e.random.NormFloat64() * deviation)
	}
	return e.Weight(onnx.NewTensor(name, values, shape...))
}

func (e *encoder) dense(name, x string, in, out int) string {
	w := e.weight(name+".weight", 1/math.Sqrt(float64(in)), int64(in), int64(out))
	return e.Op("Add", nil, e.Op("MatMul", nil, x, w), e.weight(name+".bias", 0.1, int64(out)))
}

func (e *encoder) normalised(name, x string) string {
	return e.Op("LayerNormalization", nil, x, e.weight(name+".scale", 1, int64(e.width)), e.weight(name+".shift", 0.1, int64(e.width)))
}

// attention is multi-head self-attention.
func (e *encoder) attention(name, x string) string {
	each := e.width / e.heads
	split := e.Ints(0, int64(e.length), int64(e.heads), int64(each))
	head := func(part string, perm ...int64) string {
		y := e.Op("Reshape", nil, e.dense(name+"."+part, x, e.width, e.width), split)
		return e.Op("Transpose", onnx.Attrs{"perm": perm}, y)
	}
	q, k, v := head("query", 0, 2, 1, 3), head("key", 0, 2, 3, 1), head("value", 0, 2, 1, 3)
	scores := e.Op("Mul", nil, e.Op("MatMul", nil, q, k), e.Number(onnx.Float32, 1/math.Sqrt(float64(each))))
	mixed := e.Op("MatMul", nil, e.Op("Softmax", onnx.Attrs{"axis": int64(-1)}, scores), v)
	joined := e.Op("Reshape", nil, e.Op("Transpose", onnx.Attrs{"perm": []int64{0, 2, 1, 3}}, mixed), e.Ints(0, int64(e.length), int64(e.width)))
	return e.dense(name+".out", joined, e.width, e.width)
}
