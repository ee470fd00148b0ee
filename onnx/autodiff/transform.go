package autodiff

import (
	"errors"
	"fmt"

	"assay/onnx"
)

// transforms holds Fourier transforms and the determinant.
var transforms = map[string]operator{
	"DFT":  {gradient: dftGradient},
	"STFT": {gradient: stftGradient},
	"Det":  {gradient: detGradient},
}

// dftGradient: the adjoint of Σ x·e^(-jωn) is the sum with the sign of ω turned, n
// times the inverse transform; a one-sided spectrum is filled up with zeros, a real
// signal takes the real part.
func dftGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x := n.Inputs[0]
	rank, err := p.rank(x)
	if err != nil {
		return nil, err
	}
	inverse, oneSided := n.Int("inverse", 0), n.Int("onesided", 0) != 0
	if inverse != 0 && oneSided {
		return nil, errors.New("its onesided inverse is not supported")
	}
	axis := p.Ints(-2)
	if given := n.Input(2); given != "" {
		axis = p.Op("Reshape", nil, p.toInt64(given), p.Ints(1))
	}
	size := p.Op("Gather", nil, p.shapeOf(x), axis)
	length := size
	if n.Input(1) != "" {
		length = p.Op("Reshape", nil, p.toInt64(n.Input(1)), p.Ints(1))
	}
	d := dy[0]
	if oneSided {
		d = p.lengthened(d, length, axis)
	}
	grad := p.Op("DFT", onnx.Attrs{"inverse": 1 - inverse}, d, "", p.Op("Squeeze", nil, axis))
	scale := p.cast(length)
	if inverse == 0 {
		grad = p.Op("Mul", nil, grad, scale)
	} else {
		grad = p.Op("Div", nil, grad, scale)
	}
	if p.shape(x)[rank-1].Size != 2 {
		grad = p.Op("Slice", nil, grad, p.Ints(0), p.sizeAlong(x, rank-1), p.Ints(rank-1))
	}
	if n.Input(1) != "" { // what was cut off or filled up
		grad = p.lengthened(grad, size, axis)
	}
	return []string{grad}, nil
}

// lengthened cuts a value off or fills it up with zeros along an axis.
func (p *pass) lengthened(value, length, axis string) string {
	have := p.Op("Gather", nil, p.Op("Shape", nil, value), axis)
	return p.Op("Pad", nil, value, p.joined(p.Ints(0), p.Op("Sub", nil, length, have)), "", axis)
}

// stftGradient transforms each frame back, weighs it by the window, and adds it up
// where the frame was taken.
func stftGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, window := n.Inputs[0], n.Input(2)
	zero, one, flat := p.Number(onnx.Int64, 0), p.Number(onnx.Int64, 1), p.Ints(-1)
	var length string
	switch {
	case n.Input(3) != "":
		length = p.Op("Reshape", nil, p.toInt64(n.Input(3)), p.Ints(1))
	case window != "":
		length = p.sizeAlong(window, 0)
	default:
		return nil, errors.New("it has neither a window nor a frame_length")
	}
	d := dy[0] // [N, frames, frequencies, 2]
	if n.Int("onesided", 1) != 0 {
		d = p.lengthened(d, length, p.Ints(2))
	}
	frames := p.Op("Mul", nil, p.Op("DFT", onnx.Attrs{"inverse": int64(1)}, d, "", p.Number(onnx.Int64, 2)), p.cast(length))
	frames = p.Op("Slice", nil, frames, p.Ints(0), p.sizeAlong(x, 2), p.Ints(3)) // the real part of a real signal
	count := p.Op("Squeeze", nil, p.Op("Slice", nil, p.Op("Shape", nil, dy[0]), p.Ints(1), p.Ints(2)))
	starts := p.Op("Mul", nil, p.Op("Range", nil, zero, count, one), p.toInt64(n.Inputs[1]))
	inFrame := p.Op("Range", nil, zero, p.Op("Squeeze", nil, length), one)
	places := p.Op("Reshape", nil, p.Op("Add", nil, p.Op("Unsqueeze", nil, starts, p.Ints(1)), inFrame), flat)

	grads := make([]string, 3)
	if p.wants(window) {
		read := p.Op("Reshape", nil, p.Op("Gather", onnx.Attrs{"axis": int64(1)}, x, places), p.Op("Shape", nil, frames))
		grads[2] = p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, p.Op("Mul", nil, read, frames), p.Ints(0, 1, 3))
	}
	if p.wants(x) {
		if window != "" {
			frames = p.Op("Mul", nil, frames, p.Op("Unsqueeze", nil, window, p.Ints(1)))
		}
		rows := p.Op("Reshape", nil, frames, p.joined(p.sizeAlong(x, 0), flat, p.sizeAlong(x, 2)))
		index := p.Op("Expand", nil, p.Op("Unsqueeze", nil, places, p.Ints(0, 2)), p.Op("Shape", nil, rows))
		grads[0] = p.Op("ScatterElements", onnx.Attrs{"axis": int64(1), "reduction": "add"}, p.filled(x, 0), index, rows)
	}
	return grads, nil
}

// detGradient is that of the matrix of cofactors, each from its own minor, so that it
// holds for singular matrices too.
func detGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	const most = 16
	x := n.Inputs[0]
	shape := p.shape(x)
	if len(shape) < 2 || shape[len(shape)-1].Size < 1 || shape[len(shape)-1].Size > most {
		return nil, fmt.Errorf("the size of its matrices is not known or above %d", most)
	}
	size := shape[len(shape)-1].Size
	d := p.Op("Unsqueeze", nil, dy[0], p.Ints(-2, -1))
	if size == 1 {
		return []string{d}, nil
	}
	var index []int64
	signs := make([]float64, size*size)
	for i := range size {
		for j := range size {
			signs[i*size+j] = float64(1 - 2*((i+j)%2))
			for r := range size {
				for c := range size {
					if r != i && c != j {
						index = append(index, r*size+c)
					}
				}
			}
		}
	}
	sign, err := onnx.FromFloat64s("", p.float, signs, size, size)
	if err != nil {
		return nil, err
	}
	flat := p.Op("Reshape", nil, x, p.Ints(-1, size*size))
	minors := p.Op("Gather", onnx.Attrs{"axis": int64(1)}, flat, p.Ints(index...))
	cofactors := p.Op("Det", nil, p.Op("Reshape", nil, minors, p.Ints(-1, size*size, size-1, size-1)))
	cofactors = p.Op("Mul", nil, p.reshapedLike(cofactors, x), p.Constant(sign))
	return []string{p.Op("Mul", nil, d, cofactors)}, nil
}
