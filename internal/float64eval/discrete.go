package float64eval

import (
	"fmt"
	"math"

	"assay/onnx"
)

// discretes holds operators that choose or round.
var discretes = map[string]reference{
	"Hardmax": hardmax, "OneHot": oneHot, "Resize": resize,
	"QuantizeLinear": quantize, "DequantizeLinear": dequantize,
	"DynamicQuantizeLinear": dynamicQuantize, "Det": determinant,
	"Pow": func(_ *onnx.Node, in []*array) ([]*array, error) { return one(broadcast(in[0], in[1], math.Pow)) },
}

func hardmax(n *onnx.Node, in []*array) ([]*array, error) {
	x, y := in[0], in[0].like()
	axis := axisOf(n, -1, len(x.shape))
	for _, list := range grouped(x.shape, except(x.shape, axis)) {
		best := list[0]
		for _, i := range list {
			if x.data[i] > x.data[best] {
				best = i
			}
		}
		y.data[best] = 1
	}
	return one(y)
}

// except numbers the places along all dimensions but one.
func except(shape []int, axis int) func(at []int) int {
	return func(at []int) int {
		k := 0
		for d := range at {
			if d != axis {
				k = k*shape[d] + at[d]
			}
		}
		return k
	}
}

func oneHot(n *onnx.Node, in []*array) ([]*array, error) {
	indices, depth, values := in[0], int(in[1].data[0]), in[2]
	axis := axisOf(n, -1, len(indices.shape)+1)
	var shape []int
	shape = append(append(append(shape, indices.shape[:axis]...), depth), indices.shape[axis:]...)
	y := newArray(shape...)
	y.elem = values.elem
	each(shape, func(at []int, i int) {
		k := indices.data[except(shape, axis)(at)]
		if k < 0 {
			k += float64(depth)
		}
		y.data[i] = values.data[0]
		if k == float64(at[axis]) {
			y.data[i] = values.data[1]
		}
	})
	return one(y)
}

// scaleOf gives the element of a scale or zero point that goes with a place: there is
// one for all, one for each place along axis, or one for each block along it.
func scaleOf(n *onnx.Node, scale *array, shape, at []int) float64 {
	if len(scale.data) == 1 {
		return scale.data[0]
	}
	axis := axisOf(n, 1, len(shape))
	if len(scale.shape) == 1 {
		return scale.data[at[axis]]
	}
	block := int(n.Int("block_size", 0))
	index := append([]int{}, at...)
	index[axis] /= block
	return scale.at(index...)
}

// integerRange is what a quantised type holds.
func integerRange(t onnx.DataType) (low, high float64, err error) {
	switch t {
	case onnx.Uint8:
		return 0, 255, nil
	case onnx.Int8:
		return -128, 127, nil
	case onnx.Uint16:
		return 0, 65535, nil
	case onnx.Int16:
		return -32768, 32767, nil
	}
	return 0, 0, fmt.Errorf("quantisation to %s has no reference", t)
}

func quantize(n *onnx.Node, in []*array) ([]*array, error) {
	x, scale, zero := in[0], in[1], optional(in, 2)
	y := x.like()
	y.elem = onnx.DataType(n.Int("output_dtype", int64(onnx.Uint8)))
	if zero != nil {
		y.elem = zero.elem
	}
	low, high, err := integerRange(y.elem)
	if err != nil {
		return nil, err
	}
	each(x.shape, func(at []int, i int) {
		v := math.RoundToEven(x.data[i] / scaleOf(n, scale, x.shape, at))
		if zero != nil {
			v += scaleOf(n, zero, x.shape, at)
		}
		y.data[i] = min(max(v, low), high)
	})
	return one(y)
}

func dequantize(n *onnx.Node, in []*array) ([]*array, error) {
	x, scale, zero := in[0], in[1], optional(in, 2)
	y := x.like()
	each(x.shape, func(at []int, i int) {
		v := x.data[i]
		if zero != nil {
			v -= scaleOf(n, zero, x.shape, at)
		}
		y.data[i] = v * scaleOf(n, scale, x.shape, at)
	})
	return one(y)
}

// dynamicQuantize has outputs y, its scale and its zero point.
func dynamicQuantize(n *onnx.Node, in []*array) ([]*array, error) {
	low, high := 0.0, 0.0
	for _, v := range in[0].data {
		low, high = min(low, v), max(high, v)
	}
	scale, zero, y := newArray(), newArray(), in[0].like()
	scale.data[0] = (high - low) / 255
	zero.data[0] = min(max(math.RoundToEven(-low/scale.data[0]), 0), 255)
	for i, v := range in[0].data {
		y.data[i] = min(max(math.RoundToEven(v/scale.data[0])+zero.data[0], 0), 255)
	}
	y.elem, zero.elem = onnx.Uint8, onnx.Uint8
	return []*array{y, scale, zero}, nil
}

// determinant eliminates with pivots.
func determinant(n *onnx.Node, in []*array) ([]*array, error) {
	x := in[0]
	rank := len(x.shape)
	k := x.shape[rank-1]
	out := newArray(x.shape[:rank-2]...)
	for b := range out.data {
		a := append([]float64{}, x.data[b*k*k:(b+1)*k*k]...)
		out.data[b] = 1
		for c := range k {
			p := c
			for r := c; r < k; r++ {
				if math.Abs(a[r*k+c]) > math.Abs(a[p*k+c]) {
					p = r
				}
			}
			if p != c {
				for j := range k {
					a[p*k+j], a[c*k+j] = a[c*k+j], a[p*k+j]
				}
				out.data[b] = -out.data[b]
			}
			pivot := a[c*k+c]
			if out.data[b] *= pivot; pivot == 0 {
				break
			}
			for r := c + 1; r < k; r++ {
				f := a[r*k+c] / pivot
				for j := c; j < k; j++ {
					a[r*k+j] -= f * a[c*k+j]
				}
			}
		}
	}
	return one(out)
}
