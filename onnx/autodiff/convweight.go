package autodiff

import (
	"errors"
	"fmt"
	"slices"

	"assay/onnx"
)

// convWeight is the gradient of weights [M, C/g, k...] that led from x [N, C, ...]
// to a value with the gradient dy [N, M, ...]: for each tap of the kernel the
// product over all examples and places of dy and the part of x under that tap.
// Shapes are those of likeX and likeY, as a gradient's own may not be known.
func (p *pass) convWeight(w *window, x, dy, likeX, likeY, weight string, group int64) (string, error) {
	sizes, _ := p.shape(weight).Sizes()
	if group < 1 || sizes[0]%group != 0 {
		return "", fmt.Errorf("its %d kernels do not divide into %d groups", sizes[0], group)
	}
	if grad, ok := p.convWeightShifted(w, x, dy, p.spatialSizes(likeX, w), p.spatialSizes(likeY, w), sizes, group); ok {
		return grad, nil
	}
	m, c := sizes[0]/group, sizes[1]
	padded := x
	if slices.Max(w.pads()) > 0 {
		padded = p.Op("Pad", nil, x, p.Ints(w.padsOfAll()...))
	}
	rows := p.Op("Reshape", nil, dy, p.Ints(0, group, m, -1))
	starts, ends, axes, steps, err := p.taps(w, dy, likeY)
	if err != nil {
		return "", err
	}
	var taps []string
	for i := range starts {
		seen := p.Op("Slice", nil, padded, starts[i], ends[i], axes, steps)
		columns := p.transposed(p.Op("Reshape", nil, seen, p.Ints(0, group, c, -1)), 4)
		products := p.Op("MatMul", nil, rows, columns) // [N, g, M/g, C/g]
		taps = append(taps, p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, products, p.Ints(0)))
	}
	if len(taps) == 1 {
		return p.Op("Reshape", nil, taps[0], p.Ints(sizes...)), nil
	}
	stacked := p.Op("Concat", onnx.Attrs{"axis": int64(0)}, taps...) // [taps·g, M/g, C/g]
	stacked = p.Op("Reshape", nil, stacked, p.Ints(int64(len(taps)), sizes[0]*c))
	return p.Op("Reshape", nil, p.transposed(stacked, 2), p.Ints(sizes...)), nil
}

// convWeightShifted is convWeight for strides of 1 and sizes that are known, in fewer
// and larger products: a tap that is off by some rows and columns sees what dy moved
// by the rows and x moved by the columns have in the same place. So the k columns of
// a kernel [.., h, k] are one product of k·C rows, and x is copied k times, not h·k.
func (p *pass) convWeightShifted(w *window, x, dy string, from, to, sizes []int64, group int64) (string, bool) {
	if from == nil || to == nil || slices.Max(w.strides) != 1 {
		return "", false
	}
	last := w.spatial() - 1
	common := append(slices.Clone(from[:last]), to[last]) // the sizes of both once moved
	columns, rows := w.offsets(int64(last)), w.offsets(upTo(int64(last))...)
	for _, offset := range rows {
		for i := range offset {
			offset[i] = -offset[i] // of dy from x
		}
	}
	if !overlap(columns, from, common) || !overlap(rows, to, common) {
		return "", false
	}
	m, c := sizes[0]/group, sizes[1]
	var seen, taps []string
	for _, offset := range columns {
		seen = append(seen, p.Op("Reshape", nil, p.moved(x, offset, from, common), p.Ints(0, group, c, -1)))
	}
	stacked := seen[0]
	if len(seen) > 1 {
		stacked = p.Op("Concat", onnx.Attrs{"axis": int64(2)}, seen...) // [N, g, k·C/g, places]
	}
	for _, offset := range rows {
		d := p.Op("Reshape", nil, p.moved(dy, offset, to, common), p.Ints(0, group, m, -1))
		products := p.Op("MatMul", nil, stacked, p.transposed(d, 4)) // [N, g, k·C/g, M/g]
		taps = append(taps, p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, products, p.Ints(0)))
	}
	all := taps[0]
	if len(taps) > 1 {
		all = p.Op("Concat", onnx.Attrs{"axis": int64(0)}, taps...)
	}
	all = p.Op("Reshape", nil, all, p.Ints(int64(len(taps)), group, w.kernel[last], c, m))
	all = p.Op("Transpose", onnx.Attrs{"perm": []int64{1, 4, 3, 0, 2}}, all)
	return p.Op("Reshape", nil, all, p.Ints(sizes...)), true
}

// spatialSizes gives the sizes of an image's spatial dimensions, nil if not all are known.
func (p *pass) spatialSizes(image string, w *window) []int64 {
	shape := p.shape(image)
	if len(shape) != w.spatial()+2 {
		return nil
	}
	sizes, fixed := shape[2:].Sizes()
	if !fixed {
		return nil
	}
	return sizes
}

// offsets gives, for each tap along some of the kernel's dimensions, how far the
// place that it sees in x is from the place in the output, with strides of 1.
func (w *window) offsets(along ...int64) [][]int64 {
	offsets := [][]int64{make([]int64, w.spatial())}
	for _, i := range along {
		var next [][]int64
		for _, o := range offsets {
			for k := range w.kernel[i] {
				tap := slices.Clone(o)
				tap[i] = k*w.dilations[i] - w.before[i]
				next = append(next, tap)
			}
		}
		offsets = next
	}
	return offsets
}

// overlap reports whether something of an image is left wherever it is moved.
func overlap(offsets [][]int64, from, to []int64) bool {
	for _, offset := range offsets {
		for i, o := range offset {
			if o >= from[i] || -o >= to[i] {
				return false
			}
		}
	}
	return true
}

// moved gives an image of other sizes, with the element from place q+offset at
// place q, or zero where there is none.
func (p *pass) moved(image string, offset, from, to []int64) string {
	before, after := make([]int64, len(from)), make([]int64, len(from))
	for i, o := range offset {
		before[i], after[i] = -o, to[i]-from[i]+o
	}
	none := []int64{0, 0}
	pads := slices.Concat(none, before, none, after)
	if slices.Min(pads) == 0 && slices.Max(pads) == 0 {
		return image
	}
	return p.Op("Pad", nil, image, p.Ints(pads...))
}

// padsOfAll is the padding with zeros for the batch and channel dimensions.
func (w *window) padsOfAll() []int64 {
	none := []int64{0, 0}
	return slices.Concat(none, w.before, none, w.after)
}

// taps gives, for each tap of the kernel, the starts and ends of the slice of the
// padded input that the tap sees, one element for each place of dy, which has the
// shape of like.
func (p *pass) taps(w *window, dy, like string) (starts, ends []string, axes, steps string, err error) {
	spatial := w.spatial()
	shape := p.shape(like)
	if shape == nil {
		shape = make(onnx.Shape, spatial+2)
		for i := range shape {
			shape[i].Size = -1
		}
	}
	if len(shape) != spatial+2 {
		return nil, nil, "", "", errors.New("its output does not have the rank of its window")
	}
	offsets := [][]int64{{}}
	for i, k := range w.kernel {
		var next [][]int64
		for _, o := range offsets {
			for j := range k {
				next = append(next, append(slices.Clone(o), j*w.dilations[i]))
			}
		}
		offsets = next
	}
	dims := upTo(int64(spatial))
	for i := range dims {
		dims[i] += 2
	}
	// The extent of what a tap sees: strides·(places-1) + 1.
	sizes, fixed := shape[2:].Sizes()
	extent := ""
	if fixed {
		for i := range sizes {
			sizes[i] = w.strides[i]*(sizes[i]-1) + 1
		}
	} else {
		places := p.Op("Slice", nil, p.Op("Shape", nil, dy), p.Ints(2), p.Ints(int64(spatial+2)))
		extent = p.Op("Mul", nil, p.Op("Sub", nil, places, p.Ints(1)), p.Ints(w.strides...))
		extent = p.Op("Add", nil, extent, p.Ints(1))
	}
	for _, o := range offsets {
		starts = append(starts, p.Ints(o...))
		if !fixed {
			ends = append(ends, p.Op("Add", nil, extent, p.Ints(o...)))
			continue
		}
		end := slices.Clone(sizes)
		for i := range end {
			end[i] += o[i]
		}
		ends = append(ends, p.Ints(end...))
	}
	return starts, ends, p.Ints(dims...), p.Ints(w.strides...), nil
}
