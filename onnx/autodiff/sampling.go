package autodiff

import (
	"errors"
	"fmt"
	"slices"

	"assay/onnx"
)

// sampling holds the operators that read images at computed places.
var sampling = map[string]operator{
	"GridSample": {gradient: gridSampleGradient},
	"AffineGrid": {gradient: affineGridGradient},
	"RoiAlign":   {gradient: roiAlignGradient},
	"MaxUnpool":  {gradient: maxUnpoolGradient},
	"Col2Im":     {gradient: col2ImGradient},

	"MaxRoiPool": {because: "how many elements its bins hold depends on the regions"},
	"DeformConv": {because: "it is not two-dimensional, or the sizes of its weights are not known"}, // the others are written out
}

// taps are the elements that an interpolation reads around each of P points in d
// dimensions, along each dimension by itself. All are of shape [N, d, P].
type taps struct {
	index  []string // whole numbers, as floating point, inside the image
	weight []string
	slope  []string // of the weight, by the coordinate
}

// combined joins the taps of all dimensions, K in number. Of shape [N, 1, K·P] are
// index, the place in the flat image, weight, and slopes, the weight's by each
// coordinate.
type combined struct {
	count  int
	index  string
	weight string
	slopes []string
}

// gridSampleGradient follows the specification's definition, which is PyTorch's. Where
// a coordinate is on the border of the image or of an element the gradient is that of
// one side. The order of the d coordinates in the grid is from the last dimension.
func gridSampleGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, grid := n.Inputs[0], n.Inputs[1]
	rank, err := p.rank(x)
	if err != nil {
		return nil, err
	}
	dims := int(rank - 2)
	if dims < 1 {
		return nil, fmt.Errorf("%q has no spatial dimensions", x)
	}
	var sizes []string // of the dimensions in the grid's order
	for i := range dims {
		sizes = append(sizes, p.sizeAlong(x, rank-1-int64(i)))
	}
	s := &sampler{
		pass: p, mode: n.Text("mode", "linear"), padding: n.Text("padding_mode", "zeros"),
		align: n.Int("align_corners", 0) != 0, sizes: sizes,
	}
	s.extent = p.Op("Reshape", nil, p.cast(p.joined(sizes...)), p.Ints(1, int64(dims), 1))
	s.last = p.plus(s.extent, -1)
	points := p.Op("Reshape", nil, grid, p.joined(p.sizeAlong(grid, 0), p.Ints(-1, int64(dims))))
	u, slope := s.unnormalized(p.Op("Transpose", onnx.Attrs{"perm": []int64{0, 2, 1}}, points))
	t, err := s.taps(u)
	if err != nil {
		return nil, err
	}
	c := s.combine(t, dims)
	grads := make([]string, 2)
	flat := p.joined(p.Op("Slice", nil, p.shapeOf(x), p.Ints(0), p.Ints(2)), p.Ints(-1))
	rows := p.Op("Reshape", nil, dy[0], flat) // [N, C, P]
	rows = p.Op("Concat", onnx.Attrs{"axis": int64(2)}, slices.Repeat([]string{rows}, c.count)...)
	index := p.Op("Expand", nil, p.Op("Cast", onnx.Attrs{"to": int64(onnx.Int64)}, c.index), p.Op("Shape", nil, rows))
	if p.wants(x) {
		zeros := p.Op("Reshape", nil, p.filled(x, 0), flat)
		spread := p.Op("ScatterElements", onnx.Attrs{"axis": int64(2), "reduction": "add"},
			zeros, index, p.Op("Mul", nil, rows, c.weight))
		grads[0] = p.reshapedLike(spread, x)
	}
	if p.wants(grid) && s.mode == "nearest" {
		grads[1] = p.filled(grid, 0)
	} else if p.wants(grid) {
		values := p.Op("GatherElements", onnx.Attrs{"axis": int64(2)}, p.Op("Reshape", nil, x, flat), index)
		du := p.Op("Mul", nil, p.coordinates(c, p.Op("Mul", nil, values, rows)), slope)
		grads[1] = p.reshapedLike(p.Op("Transpose", onnx.Attrs{"perm": []int64{0, 2, 1}}, du), grid)
	}
	return grads, nil
}

// coordinates is the gradient [N, d, P] of the coordinates, from the products [N, C, K·P]
// of the elements read and the gradients of what they were read for.
func (p *pass) coordinates(c *combined, products string) string {
	products = p.Op("ReduceSum", nil, products, p.Ints(1))
	along := make([]string, len(c.slopes))
	for i, slope := range c.slopes {
		each := p.Op("Reshape", nil, p.Op("Mul", nil, products, slope), p.Ints(0, int64(c.count), -1))
		along[i] = p.Op("ReduceSum", nil, each, p.Ints(1))
	}
	return p.Op("Concat", onnx.Attrs{"axis": int64(1)}, along...)
}

// sampler is how coordinates [N, d, P] address an image.
type sampler struct {
	*pass
	mode, padding string
	align         bool
	sizes         []string // vectors of one int64
	extent, last  string   // the sizes and the last indices, [1, d, 1]
}

// unnormalized turns coordinates in -1 … 1 into those of elements, brought inside the
// image as the padding has it, and gives the slope of that.
func (s *sampler) unnormalized(g string) (u, slope string) {
	half := s.times(s.extent, 0.5)
	if s.align {
		half = s.times(s.last, 0.5)
	}
	u, slope = s.Op("Add", nil, s.Op("Mul", nil, g, half), s.times(s.last, 0.5)), half
	if s.mode == "cubic" || s.padding == "zeros" {
		return u, slope // each tap is brought inside by itself
	}
	if s.padding == "reflection" {
		var sign string
		u, sign = s.reflected(u)
		slope = s.Op("Mul", nil, slope, sign)
	}
	inside := s.Op("And", nil, s.positive(u), s.Op("Less", nil, u, s.last))
	return s.clipped(u), s.Op("Mul", nil, slope, s.cast(inside))
}

// reflected folds coordinates at the borders, and tells their direction, 1 or -1.
func (s *sampler) reflected(u string) (folded, sign string) {
	low, width := s.number(-0.5), s.extent
	if s.align {
		low, width = s.number(0), s.Op("Max", nil, s.last, s.number(1))
	}
	from := s.Op("Sub", nil, u, low)
	distance := s.Op("Abs", nil, from)
	turns := s.Op("Floor", nil, s.Op("Div", nil, distance, width))
	rest := s.Op("Sub", nil, distance, s.Op("Mul", nil, turns, width))
	half := s.times(turns, 0.5)
	odd := s.Op("Less", nil, s.Op("Floor", nil, half), half)
	folded = s.Op("Add", nil, s.Op("Where", nil, odd, s.Op("Sub", nil, width, rest), rest), low)
	direction := s.Op("Where", nil, s.Op("Less", nil, from, s.number(0)), s.number(-1), s.number(1))
	return folded, s.Op("Where", nil, odd, s.Op("Neg", nil, direction), direction)
}

func (s *sampler) clipped(u string) string {
	return s.Op("Min", nil, s.Op("Max", nil, u, s.number(0)), s.last)
}

// taps gives the elements read around coordinates u, with their weights.
func (s *sampler) taps(u string) (*taps, error) {
	t := &taps{}
	switch s.mode {
	case "nearest":
		t.index, t.weight = []string{s.Op("Round", nil, u)}, []string{s.number(1)}
	case "linear", "bilinear":
		low := s.Op("Floor", nil, u)
		part := s.Op("Sub", nil, u, low)
		t.index = []string{low, s.plus(low, 1)}
		t.weight = []string{s.minus(1, part), part}
		t.slope = []string{s.number(-1), s.number(1)}
	case "cubic", "bicubic":
		low := s.Op("Floor", nil, u)
		part := s.Op("Sub", nil, u, low)
		for i := range 4 {
			t.index = append(t.index, s.plus(low, float64(i-1)))
			weight, slope := s.cubic(part, i)
			t.weight, t.slope = append(t.weight, weight), append(t.slope, slope)
		}
	default:
		return nil, fmt.Errorf("its mode is %q", s.mode)
	}
	for i, index := range t.index {
		if s.padding == "zeros" {
			inside := s.cast(s.Op("And", nil, s.Op("GreaterOrEqual", nil, index, s.number(0)), s.Op("LessOrEqual", nil, index, s.last)))
			t.weight[i] = s.Op("Mul", nil, t.weight[i], inside)
			if t.slope != nil {
				t.slope[i] = s.Op("Mul", nil, t.slope[i], inside)
			}
		}
		if s.padding == "reflection" {
			index, _ = s.reflected(index)
		}
		t.index[i] = s.clipped(index)
	}
	return t, nil
}

// cubic is the weight, and its slope, of the i-th of four elements around a point at
// part between the second and the third (Keys 1981, with a = -3/4).
func (s *sampler) cubic(part string, i int) (weight, slope string) {
	const a = -0.75
	// The weight is a polynomial of the distance x: c₀ + c₁x + c₂x² + c₃x³.
	c := [4]float64{1, 0, -(a + 3), a + 2}
	if i == 0 || i == 3 {
		c = [4]float64{-4 * a, 8 * a, -5 * a, a}
	}
	x, sign := s.plus(part, float64(1-i)), 1.0
	if i > 1 {
		x, sign = s.minus(float64(i-1), part), -1
	}
	horner := func(c ...float64) string {
		sum := s.number(c[len(c)-1])
		for k := len(c) - 2; k >= 0; k-- {
			sum = s.plus(s.Op("Mul", nil, sum, x), c[k])
		}
		return sum
	}
	return horner(c[:]...), horner(sign*c[1], sign*2*c[2], sign*3*c[3])
}

// combine takes the product of the dimensions' taps.
func (s *sampler) combine(t *taps, dims int) *combined {
	columns := func(list []string) [][]string { // by tap, then dimension, each [N, 1, P]
		var all [][]string
		like := t.index[0]
		for _, v := range list {
			full := v
			if slices.Contains([]string{s.number(1), s.number(-1)}, v) {
				full = s.Op("Expand", nil, v, s.Op("Shape", nil, like))
			}
			each := []string{full}
			if dims > 1 {
				each = s.Ops("Split", onnx.Attrs{"axis": int64(1), "num_outputs": int64(dims)}, dims, full)
			}
			all = append(all, each)
		}
		return all
	}
	index, weight, slope := columns(t.index), columns(t.weight), columns(t.slope)
	strides := make([]string, dims)
	strides[0] = s.number(1)
	for i := 1; i < dims; i++ {
		strides[i] = s.Op("Mul", nil, strides[i-1], s.cast(s.sizes[i-1]))
	}
	choices := [][]int{{}}
	for range dims {
		var next [][]int
		for _, c := range choices {
			for j := range t.index {
				next = append(next, append(slices.Clone(c), j))
			}
		}
		choices = next
	}
	var indices, weights []string
	slopes := make([][]string, dims)
	for _, choice := range choices {
		place, product := "", ""
		for i, j := range choice {
			place = s.sumOf(place, s.Op("Mul", nil, index[j][i], strides[i]))
			product = s.productOf(product, weight[j][i])
		}
		indices, weights = append(indices, place), append(weights, product)
		for k := range slopes {
			if slope == nil {
				continue
			}
			product := slope[choice[k]][k]
			for i, j := range choice {
				if i != k {
					product = s.productOf(product, weight[j][i])
				}
			}
			slopes[k] = append(slopes[k], product)
		}
	}
	join := func(list []string) string {
		if len(list) < 2 {
			return list[0]
		}
		return s.Op("Concat", onnx.Attrs{"axis": int64(2)}, list...)
	}
	c := &combined{count: len(choices), index: join(indices), weight: join(weights)}
	for _, list := range slopes {
		if list != nil {
			c.slopes = append(c.slopes, join(list))
		}
	}
	return c
}

func (p *pass) sumOf(a, b string) string {
	if a == "" {
		return b
	}
	return p.Op("Add", nil, a, b)
}

func (p *pass) productOf(a, b string) string {
	if a == "" {
		return b
	}
	return p.Op("Mul", nil, a, b)
}

// affineGridGradient: the grid is base·θᵀ with the base that θ = [I 0] gives, led by a 1.
func affineGridGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	theta := n.Inputs[0]
	shape := p.shape(theta)
	if len(shape) != 3 || shape[1].Size < 1 || shape[1].Size > 3 {
		return nil, fmt.Errorf("the shape of %q is not known", theta)
	}
	dims := shape[1].Size
	eye := make([]float64, dims*(dims+1))
	for i := range dims {
		eye[i*(dims+1)+i] = 1
	}
	plain, err := onnx.FromFloat64s("", p.float, eye, 1, dims, dims+1)
	if err != nil {
		return nil, err
	}
	flat := p.joined(p.sizeAlong(theta, 0), p.Ints(-1, dims))
	repeated := p.Op("Expand", nil, p.Constant(plain), p.shapeOf(theta))
	base := p.Op("Reshape", nil, p.Op("AffineGrid", n.Attrs, repeated, n.Inputs[1]), flat) // [N, P, d]
	rows := p.transposed(p.Op("Reshape", nil, dy[0], flat), 3)                             // [N, d, P]
	last := p.Op("ReduceSum", nil, rows, p.Ints(2))
	return []string{p.Op("Concat", onnx.Attrs{"axis": int64(2)}, p.Op("MatMul", nil, rows, base), last)}, nil
}

// maxUnpoolGradient reads dY where each element was put.
func maxUnpoolGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	flat := p.Op("Reshape", nil, dy[0], p.Ints(-1))
	return []string{p.Op("Gather", nil, flat, n.Inputs[1])}, nil
}

// col2ImGradient takes the columns out of dY again: for each tap of the kernel and each
// place of it the element of the padded image under it.
func col2ImGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	rank, err := p.rank(n.Outputs[0])
	if err != nil {
		return nil, err
	}
	dims := int(rank - 2)
	w, err := p.sliding(n, "", make([]int64, dims))
	if err != nil {
		return nil, err
	}
	padded := dy[0]
	if slices.Max(w.pads()) > 0 {
		padded = p.Op("Pad", nil, padded, p.Ints(w.padsOfAll()...))
	}
	shape := p.Op("Shape", nil, padded)
	zero, one := p.Number(onnx.Int64, 0), p.Number(onnx.Int64, 1)
	index := zero
	for i := range dims {
		at := int64(i)
		size := p.Op("Gather", nil, shape, p.Number(onnx.Int64, float64(at+2)))
		taps := p.Op("Gather", nil, n.Inputs[2], p.Number(onnx.Int64, float64(at)))
		stride, dilation := p.Number(onnx.Int64, float64(w.strides[i])), p.Number(onnx.Int64, float64(w.dilations[i]))
		reach := p.Op("Mul", nil, p.Op("Sub", nil, taps, one), dilation)
		extent := p.Op("Sub", nil, size, reach) // of the starts of windows
		inWindow := p.Op("Mul", nil, p.Op("Range", nil, zero, taps, one), dilation)
		windows := p.Op("Range", nil, zero, extent, stride)
		// Dimensions are those of the taps, then those of the windows.
		inWindow = p.Op("Reshape", nil, inWindow, p.Ints(ofAxis(i, 2*dims)...))
		windows = p.Op("Reshape", nil, windows, p.Ints(ofAxis(dims+i, 2*dims)...))
		index = p.Op("Add", nil, p.Op("Mul", nil, index, size), p.Op("Add", nil, inWindow, windows))
	}
	flat := p.Op("Reshape", nil, padded, p.Ints(0, 0, -1))
	columns := p.Op("Gather", onnx.Attrs{"axis": int64(2)}, flat, p.Op("Reshape", nil, index, p.Ints(-1)))
	return []string{p.reshapedLike(columns, n.Inputs[0])}, nil
}

// roiAlignGradient spreads each dY over the elements that its average read. A region's
// gradient is that of the coordinates it reads at.
func roiAlignGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, rois := n.Inputs[0], n.Inputs[1]
	ratio := n.Int("sampling_ratio", 0)
	if mode := n.Text("mode", "avg"); mode != "avg" {
		return nil, fmt.Errorf("its mode %q is not supported, avg is", mode)
	}
	if ratio <= 0 {
		return nil, errors.New("its sampling_ratio is 0, which makes the number of points depend on the regions; that is not supported")
	}
	height, width := p.sizeAlong(x, 2), p.sizeAlong(x, 3)
	s := &sampler{pass: p, mode: "linear", padding: "border", sizes: []string{width, height}}
	s.extent = p.Op("Reshape", nil, p.cast(p.joined(s.sizes...)), p.Ints(1, 2, 1))
	s.last = p.plus(s.extent, -1)
	r, err := s.regions(n, ratio)
	if err != nil {
		return nil, err
	}
	t, err := s.taps(s.clipped(r.points))
	if err != nil {
		return nil, err
	}
	c := s.combine(t, 2)
	repeat := func(value string) string {
		return p.Op("Concat", onnx.Attrs{"axis": int64(2)}, slices.Repeat([]string{value}, c.count)...)
	}
	// A point more than one element outside counts as zero.
	counts := p.cast(p.Op("And", nil, p.Op("GreaterOrEqual", nil, r.points, p.number(-1)), p.Op("LessOrEqual", nil, r.points, s.extent)))
	counts = p.Op("ReduceMin", nil, counts, p.Ints(1)) // [R, 1, P]
	channels := p.sizeAlong(x, 1)
	spread := p.Op("Unsqueeze", nil, p.times(dy[0], 1/float64(ratio*ratio)), p.Ints(3, 5)) // [R, C, h, 1, w, 1]
	spread = p.Op("Expand", nil, spread, p.Ints(1, 1, 1, ratio, 1, ratio))
	spread = p.Op("Reshape", nil, spread, p.joined(p.sizeAlong(rois, 0), channels, p.Ints(-1)))
	spread = repeat(p.Op("Mul", nil, spread, counts))

	// The place in all of x: (image·C + channel)·H·W + index.
	zero, one := p.Number(onnx.Int64, 0), p.Number(onnx.Int64, 1)
	channel := p.Op("Reshape", nil, p.Op("Range", nil, zero, p.Op("Squeeze", nil, channels), one), p.Ints(1, -1, 1))
	image := p.Op("Reshape", nil, p.toInt64(n.Inputs[2]), p.Ints(-1, 1, 1))
	plane := p.Op("Add", nil, p.Op("Mul", nil, image, channels), channel)
	index := p.Op("Add", nil, p.Op("Mul", nil, plane, p.Op("Mul", nil, height, width)), p.Op("Cast", onnx.Attrs{"to": int64(onnx.Int64)}, c.index))
	grads := make([]string, 2)
	if p.wants(x) {
		grads[0] = p.reshapedLike(p.scattered(p.Op("Size", nil, x), index, p.Op("Mul", nil, spread, c.weight)), x)
	}
	if p.wants(rois) {
		values := p.Op("Gather", nil, p.Op("Reshape", nil, x, p.Ints(-1)), index)
		inside := p.cast(p.Op("And", nil, p.positive(r.points), p.Op("Less", nil, r.points, s.last)))
		du := p.Op("Mul", nil, p.coordinates(c, p.Op("Mul", nil, values, spread)), inside)
		bySize := p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, p.Op("Mul", nil, du, r.parts), p.Ints(2))
		byStart := p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, du, p.Ints(2))
		bySize = p.Op("Mul", nil, bySize, r.grows)
		both := p.Op("Concat", onnx.Attrs{"axis": int64(1)}, p.Op("Sub", nil, byStart, bySize), bySize)
		grads[1] = p.times(both, float64(n.Float("spatial_scale", 1)))
	}
	return grads, nil
}

// regions is where a RoiAlign reads: at points [R, 2, P], x then y, each a part, of
// shape [1, 2, P], of the region's size away from its start. Grows [R, 2] is 1 where the
// size follows the region's corners, 0 where it is at its least.
type regions struct{ points, parts, grows string }

func (s *sampler) regions(n *onnx.Node, ratio int64) (*regions, error) {
	corners := s.times(n.Inputs[1], float64(n.Float("spatial_scale", 1))) // [R, 4]: x1, y1, x2, y2
	half := n.Text("coordinate_transformation_mode", "half_pixel") == "half_pixel"
	if half {
		corners = s.plus(corners, -0.5)
	}
	start := s.Op("Slice", nil, corners, s.Ints(0), s.Ints(2), s.Ints(1))
	end := s.Op("Slice", nil, corners, s.Ints(2), s.Ints(4), s.Ints(1))
	size := s.Op("Sub", nil, end, start)
	r := &regions{grows: s.number(1)}
	if !half {
		r.grows = s.cast(s.Op("Greater", nil, size, s.number(1)))
		size = s.Op("Max", nil, size, s.number(1))
	}
	rows, columns := n.Int("output_height", 1)*ratio, n.Int("output_width", 1)*ratio
	const most = 1 << 20
	if rows < 1 || columns < 1 || rows > most || columns > most || rows*columns > most {
		return nil, fmt.Errorf("its %d×%d points in a region are not supported", rows, columns)
	}
	parts := make([]float64, 2*rows*columns)
	for i := range rows {
		for j := range columns {
			parts[i*columns+j] = (float64(j) + 0.5) / float64(columns)
			parts[(rows+i)*columns+j] = (float64(i) + 0.5) / float64(rows)
		}
	}
	t, err := onnx.FromFloat64s("", s.float, parts, 1, 2, rows*columns)
	if err != nil {
		return nil, err
	}
	r.parts = s.Constant(t)
	column := s.Ints(2)
	r.points = s.Op("Add", nil, s.Op("Unsqueeze", nil, start, column),
		s.Op("Mul", nil, s.Op("Unsqueeze", nil, size, column), r.parts))
	return r, nil
}
