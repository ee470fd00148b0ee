package autodiff

import (
	"errors"
	"fmt"
	"slices"

	"assay/onnx"
)

// convolution holds the convolutions in any number of spatial dimensions.
var convolution = map[string]operator{
	"Conv":          {gradient: convGradient},
	"ConvTranspose": {gradient: convTransposeGradient},
}

// window is how a kernel moves over the spatial dimensions, one entry each.
type window struct {
	kernel, strides, dilations []int64
	before, after              []int64 // padding
}

// spatial gives the number of spatial dimensions.
func (w *window) spatial() int { return len(w.kernel) }

// reach is the extent of the dilated kernel less one along dimension i.
func (w *window) reach(i int) int64 { return w.dilations[i] * (w.kernel[i] - 1) }

// pads is the padding as ONNX writes it: all before, then all after.
func (w *window) pads() []int64 { return slices.Concat(w.before, w.after) }

// sliding reads a node's window. The value x slides under it: its shape is needed
// only to resolve auto_pad with strides.
func (p *pass) sliding(n *onnx.Node, x string, kernel []int64) (*window, error) {
	spatial := len(kernel)
	w := &window{
		kernel: kernel, strides: orOnes(n.Ints("strides"), spatial), dilations: orOnes(n.Ints("dilations"), spatial),
		before: make([]int64, spatial), after: make([]int64, spatial),
	}
	if len(w.strides) != spatial || len(w.dilations) != spatial {
		return nil, fmt.Errorf("it has %d strides and %d dilations for %d spatial dimensions", len(w.strides), len(w.dilations), spatial)
	}
	mode := n.Text("auto_pad", "NOTSET")
	switch mode {
	case "VALID":
		return w, nil
	case "NOTSET":
		if pads := n.Ints("pads"); pads != nil {
			if len(pads) != 2*spatial {
				return nil, fmt.Errorf("it has %d pads for %d spatial dimensions", len(pads), spatial)
			}
			w.before, w.after = pads[:spatial], pads[spatial:]
		}
		return w, nil
	case "SAME_UPPER", "SAME_LOWER":
	default:
		return nil, fmt.Errorf("its auto_pad is %q", mode)
	}
	for i := range kernel {
		total := w.reach(i)
		if s := w.strides[i]; s > 1 {
			shape := p.shape(x)
			if len(shape) != spatial+2 || !shape[i+2].Known() {
				return nil, fmt.Errorf("its auto_pad %s with strides needs the size of dimension %d of %q", mode, i+2, x)
			}
			size := shape[i+2].Size
			total = max(0, ((size+s-1)/s-1)*s+total+1-size)
		}
		w.before[i], w.after[i] = total/2, total-total/2
		if mode == "SAME_LOWER" {
			w.before[i], w.after[i] = w.after[i], w.before[i]
		}
	}
	return w, nil
}

func orOnes(v []int64, n int) []int64 {
	if v != nil {
		return v
	}
	return slices.Repeat([]int64{1}, n)
}

// kernelOf gives the spatial sizes of a convolution's weights.
func (p *pass) kernelOf(n *onnx.Node) ([]int64, error) {
	shape := p.shape(n.Inputs[1])
	sizes, fixed := shape.Sizes()
	if !fixed || len(sizes) < 3 {
		return nil, fmt.Errorf("the shape of its weights %q is not known", n.Inputs[1])
	}
	return sizes[2:], nil
}

// convGradient: the input's gradient is dY convolved with the flipped kernel; the
// kernel's is the product of dY with the input as each tap of the kernel saw it.
func convGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, weight := n.Inputs[0], n.Inputs[1]
	kernel, err := p.kernelOf(n)
	if err != nil {
		return nil, err
	}
	w, err := p.sliding(n, x, kernel)
	if err != nil {
		return nil, err
	}
	group := n.Int("group", 1)
	grads := make([]string, 3)
	if p.wants(x) {
		if grads[0], err = p.convInput(w, x, weight, dy[0], group); err != nil {
			return nil, err
		}
	}
	if p.wants(weight) {
		if grads[1], err = p.convWeight(w, x, dy[0], x, n.Outputs[0], weight, group); err != nil {
			return nil, err
		}
	}
	if p.wants(n.Input(2)) {
		grads[2] = p.sumButChannels(dy[0], w.spatial())
	}
	return grads, nil
}

// sumButChannels sums over all dimensions but the second.
func (p *pass) sumButChannels(x string, spatial int) string {
	axes := []int64{0}
	for i := range spatial {
		axes = append(axes, int64(i+2))
	}
	return p.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, x, p.Ints(axes...))
}

// fewChannels is the number of input channels up to which a ConvTranspose is faster
// than a convolution with the flipped kernel, whose blocks of channels would be
// mostly padding: 4 times as fast for the 3 of a colour image.
const fewChannels = 4

// convInput is the gradient of a convolution's input. With strides of 1 it is a
// convolution with the flipped kernel, a constant where the weights are: ONNX
// Runtime runs that 1.5 to 2 times as fast as the ConvTranspose it is equal to,
// but for few channels.
func (p *pass) convInput(w *window, x, weight, dy string, group int64) (string, error) {
	pads := make([]int64, 0, 2*w.spatial())
	for i := range w.kernel {
		pads = append(pads, w.reach(i)-w.before[i])
	}
	for i := range w.kernel {
		pads = append(pads, w.reach(i)-w.after[i])
	}
	channels := p.shape(weight)[1].Size * group
	plain := slices.Max(w.strides) == 1 && slices.Min(pads) >= 0 && channels > fewChannels
	if plain {
		flipped, err := p.flipped(weight, group)
		if err != nil {
			return "", err
		}
		return p.Op("Conv", onnx.Attrs{
			"kernel_shape": w.kernel, "dilations": w.dilations, "group": group, "pads": pads,
		}, dy, flipped), nil
	}
	if extra, ok := p.outputPadding(w, x); ok {
		dx := p.Op("ConvTranspose", onnx.Attrs{
			"kernel_shape": w.kernel, "strides": w.strides, "dilations": w.dilations, "group": group,
			"pads": w.pads(), "output_padding": extra,
		}, dy, weight)
		return p.inLayout(dx, x, 1), nil
	}
	// Unpadded at the far end, then cut or filled up to x's size: rows of x that no
	// window reached have a gradient of zero.
	full := p.Op("ConvTranspose", onnx.Attrs{
		"kernel_shape": w.kernel, "strides": w.strides, "dilations": w.dilations, "group": group,
		"pads": slices.Concat(w.before, make([]int64, w.spatial())),
	}, dy, weight)
	return p.resized(full, x), nil
}

// outputPadding gives what a ConvTranspose must add at the far ends for its result
// to have the spatial sizes of x, where these are known.
func (p *pass) outputPadding(w *window, x string) (extra []int64, ok bool) {
	shape := p.shape(x)
	if len(shape) != w.spatial()+2 {
		return nil, false
	}
	sizes, fixed := shape[2:].Sizes()
	if !fixed {
		return nil, false
	}
	for i, size := range sizes {
		rest := size + w.before[i] + w.after[i] - w.reach(i) - 1
		if rest < 0 {
			return nil, false
		}
		extra = append(extra, rest%w.strides[i])
	}
	return extra, true
}

// resized cuts a value off or fills it up with zeros at the far ends, to x's shape.
func (p *pass) resized(value, x string) string {
	want := p.shapeOf(x)
	missing := p.Op("Sub", nil, want, p.Op("Shape", nil, value))
	zeros := p.Op("Sub", nil, missing, missing)
	return p.Op("Pad", nil, value, p.Op("Concat", onnx.Attrs{"axis": int64(0)}, zeros, missing))
}

// flipped turns weights [M, C/g, k...] into those of the input's gradient,
// [C, M/g, k...], with each kernel reversed. A constant is turned here, so that the
// runtime sees a constant.
func (p *pass) flipped(weight string, group int64) (string, error) {
	sizes, _ := p.shape(weight).Sizes()
	m, c := sizes[0], sizes[1]
	if group < 1 || m%group != 0 {
		return "", fmt.Errorf("its %d kernels do not divide into %d groups", m, group)
	}
	if t := p.Graph.Initializer(weight); t != nil && (t.Type == onnx.Float32 || t.Type == onnx.Float64) {
		name := weight + "_flipped"
		if p.Graph.Initializer(name) != nil {
			return name, nil
		}
		flip, err := flipTensor(t, group)
		if err != nil {
			return "", err
		}
		return p.Weight(flip.Renamed(name)), nil
	}
	spatial := sizes[2:]
	split := p.Op("Reshape", nil, weight, p.Ints(slices.Concat([]int64{group, m / group, c}, spatial)...))
	perm := upTo(int64(len(sizes) + 1))
	perm[1], perm[2] = 2, 1
	swapped := p.Op("Transpose", onnx.Attrs{"perm": perm}, split)
	merged := p.Op("Reshape", nil, swapped, p.Ints(slices.Concat([]int64{group * c, m / group}, spatial)...))
	const toStart = -1 << 62
	k := len(spatial)
	axes := upTo(int64(k))
	for i := range axes {
		axes[i] += 2
	}
	return p.Op("Slice", nil, merged, p.Ints(slices.Repeat([]int64{-1}, k)...),
		p.Ints(slices.Repeat([]int64{toStart}, k)...), p.Ints(axes...), p.Ints(slices.Repeat([]int64{-1}, k)...)), nil
}

func flipTensor(t *onnx.Tensor, group int64) (*onnx.Tensor, error) {
	if t.Type == onnx.Float64 {
		return flipView[float64](t, group)
	}
	return flipView[float32](t, group)
}

func flipView[T onnx.Element](t *onnx.Tensor, group int64) (*onnx.Tensor, error) {
	src, err := onnx.View[T](t)
	if err != nil {
		return nil, err
	}
	m, c := int(t.Shape[0]/group), int(t.Shape[1])
	taps, _ := onnx.Count(t.Shape[2:])
	k := int(taps)
	dst := make([]T, len(src))
	for g := range int(group) {
		for i := range m {
			for j := range c {
				from := src[((g*m+i)*c+j)*k:][:k]
				to := dst[((g*c+j)*m+i)*k:][:k]
				for l, v := range from {
					to[k-1-l] = v
				}
			}
		}
	}
	shape := slices.Concat([]int64{group * t.Shape[1], int64(m)}, t.Shape[2:])
	return onnx.NewTensor(t.Name, dst, shape...), nil
}

// convTransposeGradient: a ConvTranspose is the adjoint of a Conv with the same
// weights, so its input's gradient is that Conv of dY.
func convTransposeGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, weight := n.Inputs[0], n.Inputs[1]
	kernel, err := p.kernelOf(n)
	if err != nil {
		return nil, err
	}
	w, err := p.slidingBack(n, kernel)
	if err != nil {
		return nil, err
	}
	group := n.Int("group", 1)
	grads := make([]string, 3)
	if p.wants(x) {
		grads[0] = p.Op("Conv", onnx.Attrs{
			"kernel_shape": w.kernel, "strides": w.strides, "dilations": w.dilations, "group": group, "pads": w.pads(),
		}, dy[0], weight)
	}
	if p.wants(weight) {
		// The roles of input and output are swapped: dY is what the taps see.
		if grads[1], err = p.convWeight(w, dy[0], x, n.Outputs[0], x, weight, group); err != nil {
			return nil, err
		}
	}
	if p.wants(n.Input(2)) {
		grads[2] = p.sumButChannels(dy[0], w.spatial())
	}
	return grads, nil
}

// slidingBack reads the window of a ConvTranspose: padding cuts its output. With
// auto_pad or output_shape the padding follows from the sizes.
func (p *pass) slidingBack(n *onnx.Node, kernel []int64) (*window, error) {
	mode := n.Text("auto_pad", "NOTSET")
	if mode == "NOTSET" && !n.Has("output_shape") {
		return p.sliding(n, "", kernel)
	}
	plain := n.Clone()
	delete(plain.Attrs, "auto_pad")
	if mode == "VALID" {
		delete(plain.Attrs, "pads")
		return p.sliding(plain, "", kernel)
	}
	w, err := p.sliding(plain, "", kernel)
	if err != nil {
		return nil, err
	}
	in, _ := p.shape(n.Inputs[0]).Sizes()
	out, _ := p.shape(n.Outputs[0]).Sizes()
	if len(in) != len(kernel)+2 || len(out) != len(in) {
		return nil, errors.New("the shapes of its input and output are not known")
	}
	extra := n.Ints("output_padding")
	for i := range kernel {
		if in[i+2] < 0 || out[i+2] < 0 {
			return nil, fmt.Errorf("the size of dimension %d of its input and output is not known", i+2)
		}
		total := w.strides[i]*(in[i+2]-1) + w.reach(i) + 1 - out[i+2]
		if extra != nil {
			total += extra[i]
		}
		total = max(total, 0)
		w.before[i], w.after[i] = total/2, total-total/2
		if mode != "SAME_UPPER" { // so the specification has it for ConvTranspose
			w.before[i], w.after[i] = w.after[i], w.before[i]
		}
	}
	return w, nil
}
