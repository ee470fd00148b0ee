package autodiff

import (
	"errors"
	"fmt"

	"assay/onnx"
)

// transforms holds Fourier transforms and the determinant.
var transforms = map[string]operator{
	"DFT": {gradient: dftGradient},
	"Det": {gradient: detGradient},
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
