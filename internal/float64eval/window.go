package float64eval

import (
	"math"
	"slices"

	"assay/onnx"
)

// windows holds convolutions and poolings in any number of dimensions.
var windows = map[string]reference{
	"Conv": conv, "ConvTranspose": convTranspose,
	"AveragePool": pool(average), "MaxPool": pool(largest), "LpPool": pool(lp),
	"GlobalAveragePool": global(average), "GlobalMaxPool": global(largest), "GlobalLpPool": global(lp),
	"DeformConv": deformConv, "Col2Im": col2Im, "MaxUnpool": maxUnpool,
}

// window is how a kernel moves over the spatial dimensions, one entry each.
type window struct{ kernel, stride, dilation, before, after, in, out []int }

func numbersOr(v []int64, n int, otherwise int64) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = int(otherwise)
		if v != nil {
			out[i] = int(v[i])
		}
	}
	return out
}

// windowOf lays a node's window over a value of the spatial sizes in.
func windowOf(n *onnx.Node, in, kernel []int) *window {
	k := len(in)
	w := &window{
		kernel: kernel, in: in,
		stride: numbersOr(n.Ints("strides"), k, 1), dilation: numbersOr(n.Ints("dilations"), k, 1),
		before: make([]int, k), after: make([]int, k), out: make([]int, k),
	}
	if pads := n.Ints("pads"); pads != nil {
		w.before, w.after = numbersOr(pads[:k], k, 0), numbersOr(pads[k:], k, 0)
	}
	for i, size := range in {
		extent, s := w.dilation[i]*(kernel[i]-1)+1, w.stride[i]
		switch mode := n.Text("auto_pad", "NOTSET"); mode {
		case "SAME_UPPER", "SAME_LOWER":
			w.out[i] = (size + s - 1) / s
			total := max(0, (w.out[i]-1)*s+extent-size)
			w.before[i], w.after[i] = total/2, total-total/2
			if mode == "SAME_LOWER" {
				w.before[i], w.after[i] = w.after[i], w.before[i]
			}
			continue
		case "VALID":
			w.before[i], w.after[i] = 0, 0
		}
		room := size + w.before[i] + w.after[i] - extent
		w.out[i] = room/s + 1
		if n.Int("ceil_mode", 0) != 0 && room%s != 0 && (w.out[i]*s) < size+w.before[i] {
			w.out[i]++
		}
	}
	return w
}

// place gives the place in the input that tap of the window at out sees.
func (w *window) place(out, tap []int) (at []int, inside bool) {
	at = make([]int, len(out))
	inside = true
	for i := range out {
		at[i] = out[i]*w.stride[i] + tap[i]*w.dilation[i] - w.before[i]
		inside = inside && at[i] >= 0 && at[i] < w.in[i]
	}
	return at, inside
}

// sight is an element that a window sees: by which tap of the kernel, and where it
// stands in a plane of the input.
type sight struct{ tap, offset int }

// sights lists what each window sees, and how many of its taps fall within the input
// and its padding.
func (w *window) sights() (seen [][]sight, padded []int) {
	step := strides(w.in)
	taps := product(w.kernel)
	room := make([]sight, 0, product(w.out)*taps)
	each(w.out, func(out []int, _ int) {
		start, cells := len(room), 0
		each(w.kernel, func(tap []int, t int) {
			offset, inside, near := 0, true, true
			for i := range out {
				p := out[i]*w.stride[i] + tap[i]*w.dilation[i] - w.before[i]
				inside = inside && p >= 0 && p < w.in[i]
				near = near && p >= -w.before[i] && p < w.in[i]+w.after[i]
				offset += p * step[i]
			}
			if inside {
				room = append(room, sight{t, offset})
			}
			if near {
				cells++
			}
		})
		seen, padded = append(seen, room[start:]), append(padded, cells)
	})
	return seen, padded
}

func conv(n *onnx.Node, in []*array) ([]*array, error) {
	x, weight, bias := in[0], in[1], optional(in, 2)
	w := windowOf(n, x.shape[2:], weight.shape[2:])
	seen, _ := w.sights()
	m, c := weight.shape[0], weight.shape[1]
	perGroup := m / int(n.Int("group", 1))
	y := newArray(slices.Concat([]int{x.shape[0], m}, w.out)...)
	plane, taps, places := product(w.in), product(w.kernel), len(seen)
	for i := range y.data {
		image, kernel := i/places/m, i/places%m
		sum := 0.0
		if bias != nil {
			sum = bias.data[kernel]
		}
		for j := range c {
			from := x.data[(image*x.shape[1]+kernel/perGroup*c+j)*plane:]
			by := weight.data[(kernel*c+j)*taps:]
			for _, s := range seen[i%places] {
				sum += from[s.offset] * by[s.tap]
			}
		}
		y.data[i] = sum
	}
	return one(y)
}

func convTranspose(n *onnx.Node, in []*array) ([]*array, error) {
	x, weight, bias := in[0], in[1], optional(in, 2)
	k := len(x.shape) - 2
	group, perGroup := int(n.Int("group", 1)), weight.shape[1]
	stride, dilation := numbersOr(n.Ints("strides"), k, 1), numbersOr(n.Ints("dilations"), k, 1)
	extra, pads := numbersOr(n.Ints("output_padding"), k, 0), numbersOr(n.Ints("pads"), 2*k, 0)
	mode := n.Text("auto_pad", "NOTSET")
	before, places := pads[:k], make([]int, k)
	for i := range k {
		full := stride[i]*(x.shape[2+i]-1) + extra[i] + dilation[i]*(weight.shape[2+i]-1) + 1
		want := full - pads[i] - pads[k+i]
		stated := n.Ints("output_shape")
		switch {
		case stated != nil:
			want = int(stated[len(stated)-k+i])
		case mode == "SAME_UPPER" || mode == "SAME_LOWER":
			want = stride[i] * x.shape[2+i]
		case mode == "VALID":
			want, before[i] = full, 0
		}
		if stated != nil || mode == "SAME_UPPER" || mode == "SAME_LOWER" {
			total := max(0, full-want)
			before[i] = total / 2
			if mode != "SAME_UPPER" {
				before[i] = total - total/2
			}
		}
		places[i] = want
	}
	// The transpose of a convolution whose windows lie over y, one for each place of x.
	w := &window{
		kernel: weight.shape[2:], stride: stride, dilation: dilation,
		before: before, after: make([]int, k), in: places, out: x.shape[2:],
	}
	seen, _ := w.sights()
	y := newArray(slices.Concat([]int{x.shape[0], perGroup * group}, places)...)
	plane, taps := product(places), product(w.kernel)
	for i := range y.data {
		if bias != nil {
			y.data[i] = bias.data[i/plane%y.shape[1]]
		}
	}
	for i, v := range x.data {
		image, channel := i/len(seen)/x.shape[1], i/len(seen)%x.shape[1]
		first := channel / (x.shape[1] / group) * perGroup
		for j := range perGroup {
			to := y.data[(image*y.shape[1]+first+j)*plane:]
			by := weight.data[(channel*perGroup+j)*taps:]
			for _, s := range seen[i%len(seen)] {
				to[s.offset] += v * by[s.tap]
			}
		}
	}
	return one(y)
}

// summary summarises the values that a window sees, of which it may choose one. cells
// is the number of its taps that count for an average.
type summary func(n *onnx.Node, values []float64, cells int) (result float64, chosen int)

func average(_ *onnx.Node, values []float64, cells int) (float64, int) {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(cells), 0
}

func largest(_ *onnx.Node, values []float64, _ int) (float64, int) {
	best, chosen := math.Inf(-1), 0
	for i, v := range values {
		if v > best {
			best, chosen = v, i
		}
	}
	return best, chosen
}

func lp(n *onnx.Node, values []float64, _ int) (float64, int) {
	p, sum := float64(n.Int("p", 2)), 0.0
	if p == 2 {
		for _, v := range values {
			sum += v * v
		}
		return math.Sqrt(sum), 0
	}
	for _, v := range values {
		sum += math.Pow(math.Abs(v), p)
	}
	return math.Pow(sum, 1/p), 0
}

func pool(f summary) reference {
	return func(n *onnx.Node, in []*array) ([]*array, error) {
		x := in[0]
		w := windowOf(n, x.shape[2:], numbersOr(n.Ints("kernel_shape"), len(x.shape)-2, 1))
		seen, padded := w.sights()
		y := newArray(slices.Concat(x.shape[:2], w.out)...)
		places := y.like()
		places.elem = onnx.Int64
		plane := product(w.in)
		values := make([]float64, 0, product(w.kernel))
		for i := range y.data {
			at, start := i%len(seen), i/len(seen)*plane
			values = values[:0]
			for _, s := range seen[at] {
				values = append(values, x.data[start+s.offset])
			}
			cells := len(values)
			if n.Int("count_include_pad", 0) != 0 {
				cells = padded[at]
			}
			chosen := 0
			y.data[i], chosen = f(n, values, cells)
			if len(values) > 0 {
				places.data[i] = float64(start + seen[at][chosen].offset)
			}
		}
		return []*array{y, places}, nil
	}
}

func global(f summary) reference {
	return func(n *onnx.Node, in []*array) ([]*array, error) {
		x := in[0]
		shape := append([]int{}, x.shape...)
		for i := 2; i < len(shape); i++ {
			shape[i] = 1
		}
		y := newArray(shape...)
		size := product(x.shape[2:])
		for i := range y.data {
			y.data[i], _ = f(n, x.data[i*size:(i+1)*size], size)
		}
		return one(y)
	}
}

// linearAt interpolates a plane at a fractional place, 0 outside.
func linearAt(plane func(y, x int) float64, y, x float64) float64 {
	y0, x0 := math.Floor(y), math.Floor(x)
	fy, fx := y-y0, x-x0
	i, j := int(y0), int(x0)
	return (1-fy)*((1-fx)*plane(i, j)+fx*plane(i, j+1)) + fy*((1-fx)*plane(i+1, j)+fx*plane(i+1, j+1))
}

func deformConv(n *onnx.Node, in []*array) ([]*array, error) {
	x, weight, offset, bias, mask := in[0], in[1], in[2], optional(in, 3), optional(in, 4)
	w := windowOf(n, x.shape[2:], weight.shape[2:])
	m, c := weight.shape[0], weight.shape[1]
	group, parts := int(n.Int("group", 1)), int(n.Int("offset_group", 1))
	taps := product(w.kernel)
	y := newArray(slices.Concat([]int{x.shape[0], m}, w.out)...)
	each(y.shape, func(at []int, i int) {
		sum := 0.0
		if bias != nil {
			sum = bias.data[at[1]]
		}
		each(w.kernel, func(tap []int, t int) {
			place, _ := w.place(at[2:], tap)
			for j := range c {
				channel := at[1]/(m/group)*c + j
				part := channel / (x.shape[1] / parts)
				dy := offset.at(at[0], (part*taps+t)*2, at[2], at[3])
				dx := offset.at(at[0], (part*taps+t)*2+1, at[2], at[3])
				v := linearAt(func(r, s int) float64 { return x.at(at[0], channel, r, s) }, float64(place[0])+dy, float64(place[1])+dx)
				if mask != nil {
					v *= mask.at(at[0], part*taps+t, at[2], at[3])
				}
				sum += v * weight.at(at[1], j, tap[0], tap[1])
			}
		})
		y.data[i] = sum
	})
	return one(y)
}

func col2Im(n *onnx.Node, in []*array) ([]*array, error) {
	x, image, block := in[0], in[1].ints(), in[2].ints()
	w := windowOf(n, image, block)
	taps, places := product(block), product(w.out)
	c := x.shape[1] / taps
	y := newArray(slices.Concat([]int{x.shape[0], c}, image)...)
	for b := range x.shape[0] {
		for j := range c {
			each(block, func(tap []int, t int) {
				each(w.out, func(out []int, o int) {
					if at, inside := w.place(out, tap); inside {
						to := slices.Concat([]int{b, j}, at)
						y.set(y.at(to...)+x.data[(b*x.shape[1]+j*taps+t)*places+o], to...)
					}
				})
			})
		}
	}
	return one(y)
}

// maxUnpool: the places count in the tensor that MaxPool would have had.
func maxUnpool(n *onnx.Node, in []*array) ([]*array, error) {
	x, places := in[0], in[1]
	k := len(x.shape) - 2
	kernel, stride := numbersOr(n.Ints("kernel_shape"), k, 1), numbersOr(n.Ints("strides"), k, 1)
	pads := numbersOr(n.Ints("pads"), 2*k, 0)
	pooled := append([]int{}, x.shape...)
	for i := range k {
		pooled[2+i] = (x.shape[2+i]-1)*stride[i] + kernel[i] - pads[i] - pads[k+i]
	}
	shape := pooled
	if s := optional(in, 2); s != nil {
		shape = s.ints()
	}
	y := newArray(shape...)
	for i, p := range places.data {
		rest := int(p)
		to := make([]int, len(pooled))
		for d := len(pooled) - 1; d >= 0; d-- {
			to[d], rest = rest%pooled[d], rest/pooled[d]
		}
		y.set(x.data[i], to...)
	}
	return one(y)
}
