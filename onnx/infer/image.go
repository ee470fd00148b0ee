package infer

import (
	"fmt"
	"math"
	"slices"

	"assay/onnx"
)

// attrAxes reads the attribute axes, all axes where it is not there.
func (c *call) attrAxes(rank int) ([]int, error) {
	return positions(c.n.Ints("axes"), rank, !c.n.Has("axes"))
}

func positions(axes []int64, rank int, all bool) ([]int, error) {
	out := []int{}
	if all {
		for i := range rank {
			out = append(out, i)
		}
		return out, nil
	}
	if _, err := axesOf(axes, rank); err != nil {
		return nil, err
	}
	for _, a := range axes {
		i, _ := axisOf(a, rank)
		out = append(out, i)
	}
	return out, nil
}

// resize takes scales or sizes for some of its axes.
func resize(c *call) error {
	in := c.shape(0)
	c.tensor(0, c.elem(0), in)
	if in == nil {
		return nil
	}
	axes, err := c.attrAxes(len(in))
	if err != nil {
		return err
	}
	out := slices.Clone(in)
	for _, a := range axes {
		out[a] = onnx.Dim{Size: -1}
	}
	c.tensor(0, c.elem(0), out)
	if sizes, ok := c.ints(3); ok && c.has(3) {
		if len(sizes) != len(axes) {
			return fmt.Errorf("it has %d sizes for %d axes", len(sizes), len(axes))
		}
		wanted, err := shaped(sizes)
		if err != nil {
			return err
		}
		c.fitSizes(in, out, axes, wanted)
		return nil
	}
	scales := c.in(2).known()
	if scales == nil || scales.floats == nil || c.n.Text("coordinate_transformation_mode", "") == "tf_crop_and_resize" {
		return nil
	}
	if len(scales.floats) != len(axes) {
		return fmt.Errorf("it has %d scales for %d axes", len(scales.floats), len(axes))
	}
	for i, a := range axes {
		n, err := c.scaled(fromDim(in[a]), scales.floats[i])
		if err != nil {
			return err
		}
		out[a] = n.dim()
	}
	return nil
}

// scaled is floor(size * scale).
func (c *call) scaled(size integer, scale float64) (integer, error) {
	if !(scale > 0) || math.IsInf(scale, 0) {
		return integer{}, fmt.Errorf("its scale is %g", scale)
	}
	switch {
	case scale == 1:
		return size, nil
	case size.known:
		n := truncated(math.Floor(float64(float32(size.n) * float32(scale))))
		if !n.known {
			return n, errOverflow
		}
		return n, nil
	case scale == math.Trunc(scale) && truncated(scale).known:
		return c.sizes().mul(size, truncated(scale))
	case 1/scale == math.Trunc(1/scale) && truncated(1/scale).known:
		return c.sizes().div(size, truncated(1/scale))
	}
	return integer{}, nil
}

// fitSizes sets the wanted sizes, or the closest that keep the aspect ratio.
func (c *call) fitSizes(in, out onnx.Shape, axes []int, wanted onnx.Shape) {
	policy := c.n.Text("keep_aspect_ratio_policy", "stretch")
	if policy == "stretch" {
		for i, a := range axes {
			out[a] = wanted[i]
		}
		return
	}
	scale := math.Inf(1)
	if policy == "not_smaller" {
		scale = 0
	}
	for i, a := range axes {
		if !in[a].Known() || !wanted[i].Known() || in[a].Size == 0 {
			return
		}
		s := float64(float32(wanted[i].Size) / float32(in[a].Size))
		if policy == "not_smaller" {
			scale = max(scale, s)
		} else {
			scale = min(scale, s)
		}
	}
	for _, a := range axes {
		if n := truncated(math.Floor(scale*float64(in[a].Size) + 0.5)); n.known {
			out[a] = n.dim()
		}
	}
}

func pad(c *call) error {
	in := c.shape(0)
	c.tensor(0, c.elem(0), nil)
	if in == nil {
		return nil
	}
	out := unknown(len(in))
	c.tensor(0, c.elem(0), out)
	axes, known := c.numbers(3)
	if c.has(3) && !known {
		return nil
	}
	places, err := positions(axes, len(in), !c.has(3))
	if err != nil {
		return err
	}
	pads, ok := c.ints(1)
	if !ok {
		pads = make([]integer, 2*len(places))
	}
	if len(pads) != 2*len(places) {
		return fmt.Errorf("it has %d pads for %d axes", len(pads), len(places))
	}
	copy(out, in)
	for i, a := range places {
		n, err := c.sizes().add(fromDim(in[a]), pads[i])
		if err == nil {
			n, err = c.sizes().add(n, pads[len(places)+i])
		}
		if err != nil {
			return err
		}
		out[a] = n.dim()
	}
	return nil
}

func centerCropPad(c *call) error {
	in := c.shape(0)
	c.tensor(0, c.elem(0), nil)
	if in == nil {
		return nil
	}
	axes, err := c.attrAxes(len(in))
	if err != nil {
		return err
	}
	list, ok := c.ints(1)
	if !ok {
		list = make([]integer, len(axes))
	}
	if len(list) != len(axes) {
		return fmt.Errorf("its shape has %d sizes for %d axes", len(list), len(axes))
	}
	wanted, err := shaped(list)
	if err != nil {
		return err
	}
	out := slices.Clone(in)
	for i, a := range axes {
		out[a] = wanted[i]
	}
	c.tensor(0, c.elem(0), out)
	return nil
}

func gridSample(c *call) error {
	in, grid := c.shape(0), c.shape(1)
	c.tensor(0, c.elem(0), nil)
	if len(in) < 2 || len(grid) != len(in) {
		return nil
	}
	c.tensor(0, c.elem(0), joined(in[:2], grid[1:len(grid)-1]))
	return nil
}

// affineGrid makes a grid of points for each of a batch of images of a size (N, C, spatial...).
func affineGrid(c *call) error {
	c.tensor(0, c.elem(0), nil)
	list, ok := c.ints(1)
	if !ok || len(list) < 3 {
		return nil
	}
	size, err := shaped(list)
	if err != nil {
		return err
	}
	c.tensor(0, c.elem(0), joined(size[:1], size[2:], onnx.Fixed(int64(len(size)-2))))
	return nil
}

func imageDecoder(c *call) error {
	channels := int64(3)
	if c.n.Text("pixel_format", "RGB") == "Grayscale" {
		channels = 1
	}
	c.tensor(0, onnx.Uint8, onnx.Dims(-1, -1, channels))
	return nil
}

// dft infers the discrete Fourier transform along the axis that its input 2 gives.
func dft(c *call) error {
	in := c.shape(0)
	c.tensor(0, c.elem(0), nil)
	if in == nil {
		return nil
	}
	c.tensor(0, c.elem(0), unknown(len(in)))
	axis := number(-2)
	if c.has(2) {
		axis = c.scalar(2)
	} else if c.n.Has("axis") {
		axis = number(c.n.Int("axis", 1))
	}
	if !axis.known {
		return nil
	}
	at, err := axisOf(axis.n, len(in))
	if err != nil {
		return err
	}
	out := slices.Clone(in)
	if c.has(1) {
		out[at] = c.scalar(1).dim()
	}
	last := len(out) - 1
	out[last] = onnx.Dim{Size: 2}
	inverse := c.n.Int("inverse", 0) != 0
	if c.n.Int("onesided", 0) != 0 {
		if inverse {
			out[last] = onnx.Dim{Size: 1}
			if !c.has(1) {
				n, err := c.sizes().sub(fromDim(in[at]), number(1))
				if err == nil {
					n, err = c.sizes().mul(n, number(2))
				}
				if err != nil {
					return err
				}
				out[at] = n.dim()
			}
		} else if out[at], err = c.half(out[at]); err != nil {
			return err
		}
	}
	c.tensor(0, c.elem(0), out)
	return nil
}

// half is floor(n / 2) + 1, the number of frequencies of n real samples.
func (c *call) half(d onnx.Dim) (onnx.Dim, error) {
	n, err := c.sizes().div(fromDim(d), number(2))
	if err == nil {
		n, err = c.sizes().add(n, number(1))
	}
	return n.dim(), err
}

// stft makes frames (batch, frames, frequencies, 2).
func stft(c *call) error {
	in := c.shape(0)
	out := onnx.Dims(-1, -1, -1, 2)
	c.tensor(0, c.elem(0), out)
	length := c.scalar(3)
	if !c.has(3) {
		if w := c.shape(2); len(w) == 1 {
			length = fromDim(w[0])
		}
	}
	step := c.scalar(1)
	if len(in) < 2 || !length.given() {
		return nil
	}
	out[0] = in[0]
	out[2] = length.dim()
	var err error
	if c.n.Int("onesided", 1) != 0 {
		if out[2], err = c.half(out[2]); err != nil {
			return err
		}
	}
	if step.known && step.n < 1 {
		return fmt.Errorf("its frame step is %d", step.n)
	}
	n, err := c.sizes().sub(fromDim(in[1]), length)
	if err == nil {
		n, err = c.sizes().div(n, step)
	}
	if err == nil {
		n, err = c.sizes().add(n, number(1))
	}
	out[1] = n.dim()
	return err
}
