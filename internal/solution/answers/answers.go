// Package answers makes a model say less: solutions that change what it answers and leave how it decides. They lessen what
// attacks learn that look at scores. What labels alone give away stays (Choquette-Choo et al. 2021,
// arXiv:2007.14321), so that each is to be judged by attacks that need only labels, too.
//
// The scores of what is built are the logarithms of the probabilities that are left, at least those of 1e-12.
package answers

import (
	"fmt"
	"math"

	"assay/internal/model"
	"assay/internal/solution/rewrite"
	"assay/onnx"
)

// Labels builds the model that answers with the class alone: its probability is 1, and those of others are 0. Among
// equals the first class wins.
func Labels(c *rewrite.Classifier) (*onnx.Model, error) {
	b := c.Begin()
	logits, _ := b.Call(c, b.Input)
	choice := b.Op("ArgMax", onnx.Attrs{"axis": int64(1), "keepdims": int64(0)}, logits)
	return finish(b, b.Op("OneHot", nil, choice, b.Ints(int64(len(c.Classes))), b.Constant(onnx.NewTensor("", []float32{0, 1}, 2))))
}

// MaxDecimals is more than float32 has.
const MaxDecimals = 6

// Round builds the model whose probabilities have so many decimals, 1 to MaxDecimals, and half of the last rounds to
// even (Shokri et al. 2017, arXiv:1610.05820, section VIII, who round to digits). Rounding to none is
// nearer to [Labels].
func Round(c *rewrite.Classifier, decimals int) (*onnx.Model, error) {
	if decimals < 1 || decimals > MaxDecimals {
		return nil, fmt.Errorf("probabilities of %d decimals: give 1 to %d", decimals, MaxDecimals)
	}
	b := c.Begin()
	scale := b.Number(onnx.Float32, math.Pow10(decimals))
	rounded := b.Op("Round", nil, b.Op("Mul", nil, probabilities(b, c), scale))
	b.StraightThrough(rounded)
	return finish(b, b.Op("Div", nil, rounded, scale))
}

// Top builds the model that answers with the probabilities of the k most probable classes, 1 to all but one of them; those
// of others are 0 (Shokri et al. 2017, section VIII). Classes as probable as the last of them stay.
func Top(c *rewrite.Classifier, k int) (*onnx.Model, error) {
	if k < 1 || k >= len(c.Classes) {
		return nil, fmt.Errorf("the %d most probable of %d classes: give 1 to %d", k, len(c.Classes), len(c.Classes)-1)
	}
	b := c.Begin()
	p := probabilities(b, c)
	highest := b.Ops("TopK", onnx.Attrs{"axis": int64(1)}, 2, p, b.Ints(int64(k)))[0]
	last := b.Op("ReduceMin", onnx.Attrs{"keepdims": int64(1)}, highest, b.Ints(1))
	return finish(b, b.Op("Where", nil, b.Op("GreaterOrEqual", nil, p, last), p, b.Number(onnx.Float32, 0)))
}

// Noise builds the model to whose logits normal noise of a standard deviation is added, fresh for each answer. Who asks
// about the same input again and again averages it out.
func Noise(c *rewrite.Classifier, deviation float64) (*onnx.Model, error) {
	if !(deviation > 0 && deviation <= 1e6) {
		return nil, fmt.Errorf("noise of standard deviation %g: give from above 0 to 1e6", deviation)
	}
	b := c.Begin()
	logits, _ := b.Call(c, b.Input)
	noise := b.Random(model.RandomInput{Input: "noise", Distribution: model.Normal, Deviation: deviation}, int64(len(c.Classes)))
	return b.Classify(b.Op("Add", nil, logits, noise), false)
}

func probabilities(b *rewrite.Builder, c *rewrite.Classifier) string {
	logits, _ := b.Call(c, b.Input)
	return b.Op("Softmax", onnx.Attrs{"axis": int64(1)}, logits)
}

// finish makes scores of probabilities, which need not add up to 1.
func finish(b *rewrite.Builder, p string) (*onnx.Model, error) {
	const least = 1e-12
	return b.Classify(b.Op("Log", nil, b.Op("Max", nil, p, b.Number(onnx.Float32, least))), false)
}
