package infer

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"assay/onnx"
)

// windows are the spatial attributes that convolution and pooling share.
type windows struct {
	kernel, strides, dilations []integer
	begin, end                 []int64 // pads
	auto                       string
	ceil                       bool
}

// windows reads the attributes for the given number of spatial axes. The kernel of a
// convolution comes from its weight.
func (c *call) windows(kernel onnx.Shape, spatial int) (*windows, error) {
	w := &windows{auto: c.n.Text("auto_pad", "NOTSET"), ceil: c.n.Int("ceil_mode", 0) != 0}
	read := func(name string, otherwise int64, least int64) ([]integer, error) {
		list := c.n.Ints(name)
		if list == nil {
			list = slices.Repeat([]int64{otherwise}, spatial)
		}
		if len(list) != spatial {
			return nil, fmt.Errorf("its %s %v should have one number for each of %d spatial axes", name, list, spatial)
		}
		out := make([]integer, spatial)
		for i, n := range list {
			if n < least {
				return nil, fmt.Errorf("its %s %v should be %d or more", name, list, least)
			}
			out[i] = number(n)
		}
		return out, nil
	}
	var err error
	if kernel == nil || c.n.Has("kernel_shape") {
		if !c.n.Has("kernel_shape") {
			return nil, errors.New("it has no kernel_shape")
		}
		if w.kernel, err = read("kernel_shape", 1, 1); err != nil {
			return nil, err
		}
	} else {
		for _, d := range kernel {
			w.kernel = append(w.kernel, fromDim(d))
		}
	}
	for i, d := range kernel {
		if k := w.kernel[i]; d.Known() && k.known && d.Size != k.n {
			return nil, fmt.Errorf("its kernel_shape says %d where its weight has %d", k.n, d.Size)
		}
	}
	if w.strides, err = read("strides", 1, 1); err != nil {
		return nil, err
	}
	if w.dilations, err = read("dilations", 1, 1); err != nil {
		return nil, err
	}
	pads := c.n.Ints("pads")
	if pads == nil || w.auto != "NOTSET" {
		pads = make([]int64, 2*spatial)
	}
	if len(pads) != 2*spatial {
		return nil, fmt.Errorf("its pads %v should have two numbers for each of %d spatial axes", pads, spatial)
	}
	w.begin, w.end = pads[:spatial], pads[spatial:]
	return w, nil
}

// span is the reach of the dilated kernel along axis i: (kernel - 1) * dilation + 1.
func (w *windows) span(a *algebra, i int) (integer, error) {
	n, err := a.sub(w.kernel[i], number(1))
	if err == nil {
		n, err = a.mul(n, w.dilations[i])
	}
	if err == nil {
		n, err = a.add(n, number(1))
	}
	return n, err
}

// count is the number of windows along axis i of the given size.
func (w *windows) count(a *algebra, i int, size integer) (integer, error) {
	stride := w.strides[i]
	if w.auto == "SAME_UPPER" || w.auto == "SAME_LOWER" {
		return a.divUp(size, stride)
	}
	span, err := w.span(a, i)
	if err != nil {
		return integer{}, err
	}
	pads, err := addInt(w.begin[i], w.end[i])
	if err != nil {
		return integer{}, err
	}
	room, err := a.add(size, number(pads))
	if err == nil {
		room, err = a.sub(room, span)
	}
	if err != nil {
		return integer{}, err
	}
	if room.known && room.n < 0 {
		return integer{}, fmt.Errorf("a kernel that reaches over %d does not fit an axis of %d with pads %d and %d",
			span.n, size.n, w.begin[i], w.end[i])
	}
	divide := a.div
	if w.ceil {
		divide = a.divUp
	}
	n, err := divide(room, stride)
	if err == nil {
		n, err = a.add(n, number(1))
	}
	if err != nil || !w.ceil {
		return n, err
	}
	// A window that would start in the padding at the end is dropped.
	if !size.known || !n.known {
		return integer{}, nil
	}
	start, err := mulInt(n.n-1, stride.n)
	if err != nil {
		return integer{}, err
	}
	reach, err := addInt(size.n, w.begin[i])
	if err == nil && start >= reach {
		n.n--
	}
	return n, err
}

// divUp is x ÷ y rounded up.
func (a *algebra) divUp(x, y integer) (integer, error) {
	above, err := a.sub(y, number(1))
	if err == nil {
		above, err = a.add(x, above)
	}
	if err != nil {
		return integer{}, err
	}
	return a.div(above, y)
}

// over gives the shape of what windows over an input make: batch, channels, counts.
func (w *windows) over(c *call, in onnx.Shape, channels onnx.Dim) (onnx.Shape, error) {
	out := onnx.Shape{in[0], channels}
	for i, d := range in[2:] {
		n, err := w.count(c.sizes(), i, fromDim(d))
		if err != nil {
			return nil, err
		}
		out = append(out, n.dim())
	}
	return out, nil
}

// convolution infers Conv and its integer forms, with the weight at the given input.
func convolution(weight int, elem func(*call) onnx.DataType) rule {
	return func(c *call) error {
		in, kernel := c.shape(0), c.shape(weight)
		c.tensor(0, elem(c), nil)
		if in == nil && kernel != nil {
			c.tensor(0, elem(c), unknown(len(kernel)))
		}
		if in == nil || kernel == nil {
			return nil
		}
		if len(in) < 3 || len(kernel) != len(in) {
			return fmt.Errorf("its input of shape %v and its weight of shape %v do not go together", in, kernel)
		}
		w, err := c.windows(kernel[2:], len(in)-2)
		if err != nil {
			return err
		}
		group := c.n.Int("group", 1)
		if group < 1 {
			return fmt.Errorf("its group is %d", group)
		}
		channels, err := c.sizes().mul(fromDim(kernel[1]), number(group))
		if err != nil {
			return err
		}
		if in[1].Known() && channels.known && in[1].Size != channels.n {
			return fmt.Errorf("its weight of shape %v in %d groups wants %d channels, its input has %d",
				kernel, group, channels.n, in[1].Size)
		}
		if kernel[0].Known() && kernel[0].Size%group != 0 {
			return fmt.Errorf("its %d output channels do not divide into %d groups", kernel[0].Size, group)
		}
		shape, err := w.over(c, in, kernel[0])
		c.tensor(0, elem(c), shape)
		return err
	}
}

func elemOf(i int) func(*call) onnx.DataType {
	return func(c *call) onnx.DataType { return c.elem(i) }
}

func elemIs(t onnx.DataType) func(*call) onnx.DataType {
	return func(*call) onnx.DataType { return t }
}

func convTranspose(c *call) error {
	in, kernel := c.shape(0), c.shape(1)
	c.tensor(0, c.elem(0), nil)
	if in == nil || kernel == nil {
		return nil
	}
	if len(in) < 3 || len(kernel) != len(in) {
		return fmt.Errorf("its input of shape %v and its weight of shape %v do not go together", in, kernel)
	}
	if in[1].Known() && kernel[0].Known() && in[1].Size != kernel[0].Size {
		return fmt.Errorf("its weight of shape %v wants %d channels, its input has %d", kernel, kernel[0].Size, in[1].Size)
	}
	spatial := len(in) - 2
	w, err := c.windows(kernel[2:], spatial)
	if err != nil {
		return err
	}
	channels, err := c.sizes().mul(fromDim(kernel[1]), number(c.n.Int("group", 1)))
	if err != nil {
		return err
	}
	extra, stated := c.n.Ints("output_padding"), c.n.Ints("output_shape")
	if extra == nil {
		extra = make([]int64, spatial)
	}
	if len(extra) != spatial || stated != nil && len(stated) != spatial && len(stated) != spatial+2 {
		return fmt.Errorf("its output_padding or output_shape has not one number for each of %d spatial axes", spatial)
	}
	out := onnx.Shape{in[0], channels.dim()}
	for i, d := range in[2:] {
		if stated != nil {
			out = append(out, onnx.Dim{Size: stated[len(stated)-spatial+i]})
			continue
		}
		n, err := w.transposed(c.sizes(), i, fromDim(d), extra[i])
		if err != nil {
			return err
		}
		out = append(out, n.dim())
	}
	c.tensor(0, c.elem(0), out)
	return nil
}

// transposed is the size along axis i from which windows would make the given count:
// stride * (size - 1) + output_padding + span - pads.
func (w *windows) transposed(a *algebra, i int, size integer, extra int64) (integer, error) {
	if w.auto == "SAME_UPPER" || w.auto == "SAME_LOWER" {
		return a.mul(size, w.strides[i])
	}
	n, err := a.sub(size, number(1))
	if err == nil {
		n, err = a.mul(n, w.strides[i])
	}
	var span integer
	if err == nil {
		span, err = w.span(a, i)
	}
	if err == nil {
		n, err = a.add(n, span)
	}
	for _, by := range []int64{extra, -w.begin[i], -w.end[i]} {
		if err == nil {
			n, err = a.add(n, number(by))
		}
	}
	return n, err
}

// pool infers pooling over windows; MaxPool's second output is the places.
func pool(c *call) error {
	in := c.shape(0)
	c.tensor(0, c.elem(0), nil)
	c.tensor(1, onnx.Int64, nil)
	if in == nil {
		return nil
	}
	if len(in) < 3 {
		return fmt.Errorf("its input of shape %v should have a batch, channels and at least one more axis", in)
	}
	w, err := c.windows(nil, len(in)-2)
	if err != nil {
		return err
	}
	shape, err := w.over(c, in, in[1])
	if err != nil {
		return err
	}
	c.tensor(0, c.elem(0), shape)
	c.tensor(1, onnx.Int64, shape)
	return nil
}

func globalPool(c *call) error {
	out := slices.Clone(c.shape(0))
	for i := range out {
		if i >= 2 {
			out[i] = onnx.Dim{Size: 1}
		}
	}
	c.tensor(0, c.elem(0), out)
	return nil
}

func maxUnpool(c *call) error {
	in := c.shape(0)
	if c.has(2) {
		list, ok := c.ints(2)
		c.tensor(0, c.elem(0), nil)
		if ok {
			shape, err := shaped(list)
			c.tensor(0, c.elem(0), shape)
			return err
		}
		return nil
	}
	c.tensor(0, c.elem(0), nil)
	if len(in) < 3 {
		return nil
	}
	w, err := c.windows(nil, len(in)-2)
	if err != nil {
		return err
	}
	out := onnx.Shape{in[0], in[1]}
	for i, d := range in[2:] {
		n, err := w.transposed(c.sizes(), i, fromDim(d), 0)
		if err != nil {
			return err
		}
		out = append(out, n.dim())
	}
	c.tensor(0, c.elem(0), out)
	return nil
}

// roiPool infers MaxRoiPool and RoiAlign: one output of a fixed size per region.
func roiPool(c *call) error {
	out := unknown(4)
	if in, ok, err := c.rank(0, 4); err != nil {
		return err
	} else if ok {
		out[1] = in[1]
	}
	if rois := c.shape(1); len(rois) > 0 {
		out[0] = rois[0]
	}
	if c.n.Op == "RoiAlign" {
		out[2].Size, out[3].Size = c.n.Int("output_height", 1), c.n.Int("output_width", 1)
	} else if pooled := c.n.Ints("pooled_shape"); len(pooled) == 2 {
		out[2].Size, out[3].Size = pooled[0], pooled[1]
	}
	c.tensor(0, c.elem(0), out)
	return nil
}

func col2Im(c *call) error {
	in := c.shape(0)
	image, ok := c.ints(1)
	block, ok2 := c.numbers(2)
	c.tensor(0, c.elem(0), nil)
	if !ok {
		return nil
	}
	out, err := shaped(append(make([]integer, 2), image...))
	if err != nil {
		return err
	}
	if len(in) == 3 {
		out[0] = in[0]
		area := number(1)
		for _, b := range block {
			if area, err = c.sizes().mul(area, number(b)); err != nil {
				return err
			}
		}
		if ok2 && (!area.known || area.n > 0) {
			n, err := c.sizes().div(fromDim(in[1]), area)
			if err != nil {
				return err
			}
			out[1] = n.dim()
		}
	}
	c.tensor(0, c.elem(0), out)
	return nil
}

// depthToSpace moves channels into blocks of space; spaceToDepth moves them back.
func depthToSpace(c *call) error { return c.blocks(true) }
func spaceToDepth(c *call) error { return c.blocks(false) }

func (c *call) blocks(toSpace bool) error {
	in, ok, err := c.rank(0, 4)
	if err != nil {
		return err
	}
	c.tensor(0, c.elem(0), unknown(4))
	size := c.n.Int("blocksize", 0)
	if size < 1 || size > math.MaxInt32 {
		return fmt.Errorf("its blocksize is %d", size)
	}
	if !ok {
		return nil
	}
	out := slices.Clone(in)
	for i, by := range []int64{1, size * size, size, size} {
		if i == 0 {
			continue
		}
		resize := c.sizes().mul
		if toSpace == (i == 1) {
			resize = c.sizes().div
			if in[i].Known() && in[i].Size%by != 0 {
				return fmt.Errorf("size %d of axis %d does not divide by %d", in[i].Size, i, by)
			}
		}
		n, err := resize(fromDim(in[i]), number(by))
		if err != nil {
			return err
		}
		out[i] = n.dim()
	}
	c.tensor(0, c.elem(0), out)
	return nil
}
