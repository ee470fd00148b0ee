package infer

import (
	"fmt"
	"slices"

	"assay/onnx"
)

// perChannel checks that the given inputs are vectors over the channels, axis 1, and
// gives their length.
func (c *call) perChannel(inputs ...int) (onnx.Dim, error) {
	channels := onnx.Dim{Size: -1}
	if in := c.shape(0); len(in) > 1 {
		channels = in[1]
	}
	for _, i := range inputs {
		s, ok, err := c.rank(i, 1)
		if err != nil {
			return channels, err
		}
		if !ok {
			continue
		}
		if channels, err = agree(channels, s[0]); err != nil {
			return channels, fmt.Errorf("its input %q of shape %v is not one number per channel: %w", c.n.Input(i), s, err)
		}
	}
	return channels, nil
}

func batchNorm(c *call) error {
	channels, err := c.perChannel(1, 2, 3, 4)
	if err != nil {
		return err
	}
	c.tensor(0, c.elem(0), c.shape(0))
	for i := 1; i < 3; i++ {
		c.tensor(i, c.elem(2+i), onnx.Shape{channels})
	}
	return nil
}

func channelNorm(c *call) error {
	if _, err := c.perChannel(1, 2); err != nil {
		return err
	}
	return unary(c)
}

// layerNorm has a mean and an inverse deviation for each place before the axis.
func layerNorm(c *call) error {
	in := c.shape(0)
	elem := onnx.DataType(c.n.Int("stash_type", int64(onnx.Float32)))
	c.tensor(0, c.elem(0), in)
	c.tensor(1, elem, nil)
	c.tensor(2, elem, nil)
	if in == nil {
		return nil
	}
	axis, err := c.axis("axis", -1, len(in))
	if err != nil {
		return err
	}
	out := slices.Clone(in)
	for i := axis; i < len(out); i++ {
		out[i] = onnx.Dim{Size: 1}
	}
	for i := 1; i < 3; i++ {
		if s, err := broadcast(in, c.shape(i)); err != nil || len(s) > len(in) {
			return fmt.Errorf("its input %q of shape %v does not broadcast to %v", c.n.Input(i), c.shape(i), in)
		}
		c.tensor(i, elem, out)
	}
	return nil
}

// dropout's second output is its mask.
func dropout(c *call) error {
	if err := unary(c); err != nil {
		return err
	}
	c.tensor(1, onnx.Bool, c.shape(0))
	return nil
}

// recurrent infers RNN, GRU and LSTM: Y and the last states.
func recurrent(c *call) error {
	directions := int64(1)
	if c.n.Text("direction", "forward") == "bidirectional" {
		directions = 2
	}
	step, batch := onnx.Dim{Size: -1}, onnx.Dim{Size: -1}
	x, ok, err := c.rank(0, 3)
	if err != nil {
		return err
	}
	batchFirst := c.n.Int("layout", 0) != 0
	if ok {
		step, batch = x[0], x[1]
		if batchFirst {
			step, batch = x[1], x[0]
		}
	}
	hidden := onnx.Dim{Size: c.n.Int("hidden_size", -1)}
	if r, ok, err := c.rank(2, 3); err != nil {
		return err
	} else if ok {
		if hidden, err = agree(hidden, r[2]); err != nil {
			return fmt.Errorf("hidden_size and the weight R of shape %v: %w", r, err)
		}
	}
	d := onnx.Dim{Size: directions}
	y, last := onnx.Shape{step, d, batch, hidden}, onnx.Shape{d, batch, hidden}
	if batchFirst {
		y, last = onnx.Shape{batch, step, d, hidden}, onnx.Shape{batch, d, hidden}
	}
	c.tensor(0, c.elem(0), y)
	c.tensor(1, c.elem(0), last)
	c.tensor(2, c.elem(0), last)
	return nil
}

// attention follows ONNX's Attention: Q of 4 dimensions (batch, heads, length, size),
// or of 3 with the heads within the last.
func attention(c *call) error {
	q, k, v := c.shape(0), c.shape(1), c.shape(2)
	pastK := c.shape(4)
	elem := c.elem(0)
	for i := range 4 {
		c.tensor(i, elem, nil)
	}
	if c.elem(2) != onnx.Undefined {
		c.tensor(2, c.elem(2), nil)
	}
	if q == nil || k == nil || v == nil {
		return nil
	}
	if len(q) != len(k) || len(q) != len(v) || len(q) != 3 && len(q) != 4 {
		return fmt.Errorf("its query, key and value have shapes %v, %v and %v", q, k, v)
	}
	q4, err := c.heads(q, c.n.Int("q_num_heads", 0))
	if err != nil {
		return err
	}
	k4, err := c.heads(k, c.n.Int("kv_num_heads", 0))
	if err != nil {
		return err
	}
	v4, err := c.heads(v, c.n.Int("kv_num_heads", 0))
	if err != nil {
		return err
	}
	length := fromDim(k4[2])
	if c.has(4) {
		past := onnx.Dim{Size: -1}
		if len(pastK) == 4 {
			past = pastK[2]
		}
		if length, err = c.sizes().add(length, fromDim(past)); err != nil {
			return err
		}
	}
	y := onnx.Shape{q4[0], q4[1], q4[2], v4[3]}
	if len(q) == 3 {
		width, err := c.sizes().mul(fromDim(q4[1]), fromDim(v4[3]))
		if err != nil {
			return err
		}
		y = onnx.Shape{q4[0], q4[2], width.dim()}
	}
	c.tensor(0, elem, y)
	c.tensor(1, c.elem(1), onnx.Shape{k4[0], k4[1], length.dim(), k4[3]})
	c.tensor(2, c.elem(2), onnx.Shape{v4[0], v4[1], length.dim(), v4[3]})
	c.tensor(3, elem, onnx.Shape{q4[0], q4[1], q4[2], length.dim()})
	return nil
}

// heads brings a shape to 4 dimensions.
func (c *call) heads(s onnx.Shape, n int64) (onnx.Shape, error) {
	if len(s) == 4 {
		return s, nil
	}
	if n < 1 || s[2].Known() && s[2].Size%n != 0 {
		return nil, fmt.Errorf("its shape %v does not divide into %d heads", s, n)
	}
	size, err := c.sizes().div(fromDim(s[2]), number(n))
	return onnx.Shape{s[0], {Size: n}, s[1], size.dim()}, err
}

// classLoss infers NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss.
func classLoss(c *call) error {
	if c.n.Text("reduction", "mean") == "none" {
		c.tensor(0, c.elem(0), c.shape(1))
	} else {
		c.tensor(0, c.elem(0), onnx.Shape{})
	}
	c.tensor(1, c.elem(0), c.shape(0))
	return nil
}
