package autodiff

import (
	"maps"
	"slices"

	"assay/onnx"
)

// pooling holds the operators that summarise windows.
var pooling = map[string]operator{
	"MaxPool":           {gradient: maxPoolGradient},
	"AveragePool":       {gradient: averagePoolGradient},
	"LpPool":            {gradient: lpPoolGradient},
	"GlobalAveragePool": {gradient: globalAverageGradient},
	"GlobalMaxPool":     {gradient: globalMaxGradient},
	"GlobalLpPool":      {gradient: globalLpGradient},
}

// maxPoolGradient sends each dY to the element that was the greatest: MaxPool's
// second output tells its place in the whole tensor, the first where several tie.
func maxPoolGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x := n.Inputs[0]
	if w, err := p.poolWindow(n); err == nil && n.Output(1) == "" && p.tiles(w, x) {
		return []string{p.maxPoolTiled(w, n, dy[0])}, nil
	}
	places := n.Output(1)
	if places == "" || n.Int("storage_order", 0) != 0 {
		// A second pooling, in row-major order, so that the first stays in the form
		// that runs fastest.
		rowMajor := maps.Clone(n.Attrs)
		delete(rowMajor, "storage_order")
		places = p.Ops("MaxPool", rowMajor, 2, x)[1]
	}
	flat := p.Ints(-1)
	zeros := p.Op("Reshape", nil, p.filled(x, 0), flat)
	spread := p.Op("ScatterElements", onnx.Attrs{"reduction": "add"}, zeros,
		p.Op("Reshape", nil, places, flat), p.Op("Reshape", nil, dy[0], flat))
	return []string{p.Op("Reshape", nil, spread, p.shapeOf(x))}, nil
}

// tiles reports whether windows on an image lie side by side and cover all of x.
func (p *pass) tiles(w *window, x string) bool {
	shape := p.shape(x)
	if p.float != onnx.Float32 || len(shape) != 4 || !slices.Equal(w.kernel, w.strides) || slices.Max(w.dilations) > 1 {
		return false
	}
	for i, k := range w.kernel {
		if size := shape[i+2].Size; size <= 0 || size%k != 0 {
			return false
		}
	}
	return true
}

// repeated repeats each element of an image over a window.
func (p *pass) repeated(x string, window []int64) string {
	scales := onnx.NewTensor("", []float32{1, 1, float32(window[0]), float32(window[1])})
	return p.Op("Resize", onnx.Attrs{
		"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor",
	}, x, "", p.Constant(scales))
}

// maxPoolTiled is the gradient of a max pooling whose windows lie side by side: dY,
// repeated over each window, times a mask that is 1 where x is the window's greatest.
// Elements that tie share it. That is faster than to look for the places a second time.
func (p *pass) maxPoolTiled(w *window, n *onnx.Node, dy string) string {
	x := n.Inputs[0]
	relu := p.onlyRelu(n.Outputs[0])
	var greatest string
	if relu != "" && p.blocked(x) {
		greatest = p.greatestInLayout(w, x, relu)
	} else {
		greatest = p.cast(p.Op("Equal", nil, x, p.repeated(n.Outputs[0], w.kernel)))
	}
	attrs := onnx.Attrs{"kernel_shape": w.kernel, "strides": w.strides}
	taps, _ := onnx.Count(w.kernel)
	ties := p.Op("Max", nil, p.times(p.Op("AveragePool", attrs, greatest), float64(taps)), p.number(1))
	share := p.Op("Div", nil, dy, ties)
	if relu != "" {
		share = p.inLayout(share, x, 1)
	}
	return p.Op("Mul", nil, p.repeated(share, w.kernel), greatest)
}

// onlyRelu gives the output of the ReLU that alone reads a value, "" if it is read
// by anything else.
func (p *pass) onlyRelu(value string) string {
	out := ""
	for _, n := range p.nodes {
		for _, v := range n.Reads() {
			if v == value && (out != "" || n.Op != "Relu" || n.Domain != "") {
				return ""
			}
			if v == value {
				out = n.Outputs[0]
			}
		}
	}
	return out
}

// greatestInLayout is the mask of maxPoolTiled made by products and sums that keep
// the blocked layout, for windows whose greatest is above 0; through the ReLU
// behind the pooling nothing flows to others. It is B·(x - y⁻), cut to 0 … 1, with
// B = 2⁶⁴ and y⁻ = y·(1 - 2⁻²⁴) - 2⁻⁶⁴, which rounds to the number just below y: where x is
// y that is 1 or more, where it is less 0 or less. Elements within 2⁻⁶⁴ of the
// greatest count as ties, and values beyond 2⁶³ would overflow.
func (p *pass) greatestInLayout(w *window, x, y string) string {
	const big = 1 << 64
	channels := p.shape(x)[1].Size
	weight := onnx.NewTensor("", slices.Repeat([]float32{-big * (1 - 1.0/(1<<24))}, int(channels)), channels, 1, 1, 1)
	one := onnx.NewTensor("", slices.Repeat([]float32{1}, int(channels)))
	below := p.Op("Conv", onnx.Attrs{"group": channels, "kernel_shape": []int64{1, 1}}, y, p.Constant(weight), p.Constant(one))
	above := p.Op("Add", nil, p.depthwise(x, x, big), p.repeated(below, w.kernel))
	// A Clip stays in the layout only as part of a convolution without a sum.
	return p.Op("Clip", nil, p.depthwise(above, x, 1), p.number(0), p.number(1))
}

// poolWindow reads the window of a pooling node. With ceil_mode the last window may
// hang over the far end; resized takes care of that when the gradient is spread.
func (p *pass) poolWindow(n *onnx.Node) (*window, error) {
	return p.sliding(n, n.Inputs[0], n.Ints("kernel_shape"))
}

// sumPoolAdjoint sends each dY to all elements of its window of x: it transposes the
// sum over windows, which is a convolution with a kernel of ones. All channels are
// treated alike, so they are folded into the batch.
func (p *pass) sumPoolAdjoint(w *window, x, dy string) (string, error) {
	ones, err := p.ones(w.kernel)
	if err != nil {
		return "", err
	}
	places := p.spatialShape(p.Op("Shape", nil, dy), w)
	folded := p.Op("Reshape", nil, dy, p.joined(p.Ints(-1, 1), places))
	full := p.Op("ConvTranspose", onnx.Attrs{
		"kernel_shape": w.kernel, "strides": w.strides, "dilations": w.dilations,
		"pads": slices.Concat(w.before, make([]int64, w.spatial())),
	}, folded, ones)
	target := p.shapeOf(x)
	have := p.Op("Shape", nil, full)
	want := p.joined(p.Op("Slice", nil, have, p.Ints(0), p.Ints(2)), p.spatialShape(target, w))
	missing := p.Op("Sub", nil, want, have)
	zeros := p.Op("Sub", nil, missing, missing)
	return p.Op("Reshape", nil, p.Op("Pad", nil, full, p.joined(zeros, missing)), target), nil
}

// ones is a convolution kernel for one channel, with 1 everywhere.
func (p *pass) ones(kernel []int64) (string, error) {
	taps, _ := onnx.Count(kernel)
	t, err := onnx.FromFloat64s("", p.float, slices.Repeat([]float64{1}, int(taps)), slices.Concat([]int64{1, 1}, kernel)...)
	if err != nil {
		return "", err
	}
	return p.Constant(t), nil
}

// spatialShape cuts the spatial dimensions out of a shape.
func (p *pass) spatialShape(shape string, w *window) string {
	return p.Op("Slice", nil, shape, p.Ints(2), p.Ints(int64(w.spatial()+2)))
}

// joined concatenates vectors.
func (p *pass) joined(vectors ...string) string {
	return p.Op("Concat", onnx.Attrs{"axis": int64(0)}, vectors...)
}

// averagePoolGradient spreads dY, divided by what its average was taken over.
func averagePoolGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	w, err := p.poolWindow(n)
	if err != nil {
		return nil, err
	}
	share := dy[0]
	if slices.Max(w.pads()) == 0 && n.Int("ceil_mode", 0) == 0 {
		taps, _ := onnx.Count(w.kernel)
		if p.tiles(w, n.Inputs[0]) {
			return []string{p.repeated(p.inLayout(share, n.Inputs[0], 1/float64(taps)), w.kernel)}, nil
		}
		share = p.times(share, 1/float64(taps))
	} else {
		weight, err := p.averageWeight(n, w, dy[0])
		if err != nil {
			return nil, err
		}
		share = p.Op("Mul", nil, share, weight)
	}
	dx, err := p.sumPoolAdjoint(w, n.Inputs[0], share)
	return []string{dx}, err
}

// averageWeight gives, for each place of an average pooling's output, the weight
// of an element in it. Which padding counts is for the operator itself to say: its
// average of ones is the elements in the window times that weight.
func (p *pass) averageWeight(n *onnx.Node, w *window, dy string) (string, error) {
	kernel, err := p.ones(w.kernel)
	if err != nil {
		return "", err
	}
	one, err := onnx.FromFloat64s("", p.float, []float64{1})
	if err != nil {
		return "", err
	}
	like := p.joined(p.Ints(1, 1), p.spatialShape(p.shapeOf(n.Inputs[0]), w))
	ones := p.Op("ConstantOfShape", onnx.Attrs{"value": one}, like)
	average := p.Op("AveragePool", n.Attrs, ones)
	// Windows may hang over the far end by less than a stride (ceil_mode).
	after := slices.Clone(w.after)
	for i, s := range w.strides {
		after[i] += s - 1
	}
	elements := p.Op("Conv", onnx.Attrs{
		"kernel_shape": w.kernel, "strides": w.strides, "dilations": w.dilations, "pads": slices.Concat(w.before, after),
	}, ones, kernel)
	axes := upTo(int64(w.spatial()))
	for i := range axes {
		axes[i] += 2
	}
	elements = p.Op("Slice", nil, elements, p.Ints(make([]int64, w.spatial())...),
		p.spatialShape(p.Op("Shape", nil, dy), w), p.Ints(axes...))
	return p.Op("Div", nil, average, elements), nil
}

// lpPoolGradient: for y = (Σ|x|^p)^(1/p), dx = sign(x)·|x|^(p-1) · Σ dy·y^(1-p)
// over the windows that x is in. A window of zeros has the gradient 0.
func lpPoolGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	w, err := p.poolWindow(n)
	if err != nil {
		return nil, err
	}
	order := float64(n.Int("p", 2))
	spread, err := p.sumPoolAdjoint(w, n.Inputs[0], p.lpOuter(n.Outputs[0], dy[0], order))
	if err != nil {
		return nil, err
	}
	return []string{p.Op("Mul", nil, spread, p.lpInner(n.Inputs[0], order))}, nil
}

// lpOuter is dy·y^(1-p), 0 where y is 0.
func (p *pass) lpOuter(y, dy string, order float64) string {
	safe := p.Op("Where", nil, p.positive(y), y, p.number(1))
	outer := p.Op("Mul", nil, dy, p.Op("Pow", nil, safe, p.number(1-order)))
	return p.Op("Where", nil, p.positive(y), outer, p.number(0))
}

// lpInner is sign(x)·|x|^(p-1).
func (p *pass) lpInner(x string, order float64) string {
	sign := p.Op("Sign", nil, x)
	if order == 1 {
		return sign
	}
	return p.Op("Mul", nil, sign, p.Op("Pow", nil, p.Op("Abs", nil, x), p.number(order-1)))
}

func globalAverageGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x := n.Inputs[0]
	elements := p.Op("Cast", onnx.Attrs{"to": int64(p.float)}, p.placesOf(x))
	share := p.Op("Div", nil, dy[0], elements)
	return []string{p.inLayout(p.Op("Expand", nil, share, p.shapeOf(x)), x, 1)}, nil
}

// placesOf is the number of spatial places of a value, an int64 scalar.
func (p *pass) placesOf(x string) string {
	if s := p.shape(x); len(s) > 2 {
		if sizes, fixed := s[2:].Sizes(); fixed {
			places, _ := onnx.Count(sizes)
			return p.Number(onnx.Int64, float64(places))
		}
	}
	const toEnd = 1 << 62
	spatial := p.Op("Slice", nil, p.Op("Shape", nil, x), p.Ints(2), p.Ints(toEnd))
	return p.Op("ReduceProd", onnx.Attrs{"keepdims": int64(0)}, spatial)
}

// globalMaxGradient shares dY among the elements that tie for the greatest.
func globalMaxGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x := n.Inputs[0]
	rank, err := p.rank(x)
	if err != nil {
		return nil, err
	}
	greatest := p.cast(p.Op("Equal", nil, x, n.Outputs[0]))
	count := p.Op("ReduceSum", nil, greatest, p.Ints(upTo(rank)[2:]...))
	return []string{p.Op("Mul", nil, greatest, p.Op("Div", nil, dy[0], count))}, nil
}

func globalLpGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	order := float64(n.Int("p", 2))
	outer := p.lpOuter(n.Outputs[0], dy[0], order)
	return []string{p.Op("Mul", nil, outer, p.lpInner(n.Inputs[0], order))}, nil
}
