package autodiff

import (
	"slices"

	"assay/onnx"
)

// ONNX Runtime keeps images between convolutions and poolings in a layout of blocks
// of channels, in which these run up to twice as fast. It goes on through Add, Mul
// and Resize of values that are in that layout already; any other operator, or an
// operand that is not, forces a change of layout there and back, and through Add
// and Mul that goes on from one layer to the next. So the rules of convolutional
// networks make their factors and masks by depthwise 1×1 convolutions, which are
// products that bring any operand into the layout.

// blockedLayout is what the channels must be a multiple of for the layout (16 on
// AVX-512, 8 on AVX2).
const blockedLayout = 16

// constantKernels reports whether there are convolutions, all with weights that are
// the same in every run: only then does ONNX Runtime use the layout.
func (p *pass) constantKernels() bool {
	found := false
	for _, n := range p.nodes {
		if n.Op == "Conv" && n.Domain == "" {
			if p.types.Constant(n.Inputs[1]) == nil {
				return false
			}
			found = true
		}
	}
	return found
}

// blocked reports whether ONNX Runtime may keep a value in its blocked layout.
func (p *pass) blocked(value string) bool {
	shape := p.shape(value)
	return p.layout && p.float == onnx.Float32 && len(shape) == 4 && shape[1].Size > 0 && shape[1].Size%blockedLayout == 0
}

// depthwise multiplies value, which has the channels of like, by a factor.
func (p *pass) depthwise(value, like string, factor float32) string {
	channels := p.shape(like)[1].Size
	weight := p.Constant(onnx.NewTensor("", slices.Repeat([]float32{factor}, int(channels)), channels, 1, 1, 1))
	return p.Op("Conv", onnx.Attrs{"group": channels, "kernel_shape": []int64{1, 1}}, value, weight)
}

// inLayout multiplies value, a gradient of like, by a factor, and leaves it in the
// blocked layout if like may be in it.
func (p *pass) inLayout(value, like string, factor float64) string {
	switch {
	case p.blocked(like):
		return p.depthwise(value, like, float32(factor))
	case factor != 1:
		return p.times(value, factor)
	}
	return value
}
