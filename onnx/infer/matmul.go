package infer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"assay/onnx"
)

// product infers MatMul and its integer forms; a and b are the inputs that multiply.
func product(a, b int, elem func(*call) onnx.DataType) rule {
	return func(c *call) error {
		shape, err := matrixProduct(c.shape(a), c.shape(b))
		c.tensor(0, elem(c), shape)
		return err
	}
}

// matrixProduct is numpy.matmul's shape.
func matrixProduct(x, y onnx.Shape) (onnx.Shape, error) {
	if x == nil || y == nil {
		return nil, nil
	}
	if len(x) == 0 || len(y) == 0 {
		return nil, errors.New("it multiplies a scalar")
	}
	row, column := len(x) == 1, len(y) == 1
	if row {
		x = onnx.Shape{{Size: 1}, x[0]}
	}
	if column {
		y = onnx.Shape{y[0], {Size: 1}}
	}
	m, n := len(x), len(y)
	if _, err := agree(x[m-1], y[n-2]); err != nil {
		return nil, fmt.Errorf("shapes %v and %v do not multiply: %w", x, y, err)
	}
	out, err := broadcast(x[:m-2], y[:n-2])
	if err != nil {
		return nil, err
	}
	if !row {
		out = append(out, x[m-2])
	}
	if !column {
		out = append(out, y[n-1])
	}
	return out, nil
}

func gemm(c *call) error {
	a, okA, err := c.rank(0, 2)
	if err != nil {
		return err
	}
	b, okB, err := c.rank(1, 2)
	if err != nil {
		return err
	}
	out := unknown(2)
	c.tensor(0, c.elem(0), out)
	if okA && c.n.Int("transA", 0) != 0 {
		a = onnx.Shape{a[1], a[0]}
	}
	if okB && c.n.Int("transB", 0) != 0 {
		b = onnx.Shape{b[1], b[0]}
	}
	if okA {
		out[0] = a[0]
	}
	if okB {
		out[1] = b[1]
	}
	if okA && okB {
		if _, err := agree(a[1], b[0]); err != nil {
			return fmt.Errorf("shapes %v and %v do not multiply: %w", a, b, err)
		}
	}
	if bias := c.shape(2); bias != nil {
		if s, err := broadcast(out, bias); err != nil || len(s) > 2 {
			return fmt.Errorf("its bias of shape %v does not broadcast to %v", bias, out)
		}
	}
	return nil
}

// einsum follows the equation; an ellipsis stands for the broadcast dimensions.
func einsum(c *call) error {
	elem := c.elem(0)
	c.tensor(0, elem, nil)
	equation := strings.ReplaceAll(c.n.Text("equation", ""), " ", "")
	left, right, explicit := strings.Cut(equation, "->")
	operands := strings.Split(left, ",")
	if len(operands) != len(c.n.Inputs) {
		return fmt.Errorf("its equation %q is for %d inputs, it has %d", equation, len(operands), len(c.n.Inputs))
	}
	sizes := map[rune]onnx.Dim{}
	uses := map[rune]int{}
	var middle []onnx.Shape
	ranks := true
	for i, operand := range operands {
		s := c.shape(i)
		before, after, dots := strings.Cut(operand, "...")
		for _, letter := range before + after {
			uses[letter]++
		}
		if s == nil {
			ranks = ranks && !dots
			continue
		}
		rest := len(s) - len(before) - len(after)
		if rest < 0 || rest > 0 && !dots {
			return fmt.Errorf("its input %d of shape %v does not fit %q", i, s, operand)
		}
		if dots {
			middle = append(middle, s[len(before):len(s)-len(after)])
		}
		for j, letter := range before + after {
			d := s[j]
			if j >= len(before) {
				d = s[j+rest]
			}
			old, ok := sizes[letter]
			if !ok || old.Size == 1 {
				sizes[letter] = d
				continue
			}
			if d.Size == 1 {
				continue
			}
			var err error
			if sizes[letter], err = agree(old, d); err != nil {
				return fmt.Errorf("index %c: %w", letter, err)
			}
		}
	}
	ellipsis, err := broadcast(middle...)
	if err != nil {
		return err
	}
	if !explicit {
		right = implicit(uses, middle != nil)
	}
	if !ranks && strings.Contains(right, "...") {
		return nil
	}
	before, after, dots := strings.Cut(right, "...")
	out := onnx.Shape{}
	for _, letter := range before {
		out = append(out, sizeOr(sizes, letter))
	}
	if dots {
		out = append(out, ellipsis...)
	}
	for _, letter := range after {
		out = append(out, sizeOr(sizes, letter))
	}
	c.tensor(0, elem, out)
	return nil
}

func sizeOr(sizes map[rune]onnx.Dim, letter rune) onnx.Dim {
	if d, ok := sizes[letter]; ok {
		return d
	}
	return onnx.Dim{Size: -1}
}

// implicit is the output of an equation without an arrow: the ellipsis and what is
// used once, in order.
func implicit(uses map[rune]int, dots bool) string {
	var once []rune
	for letter, n := range uses {
		if n == 1 {
			once = append(once, letter)
		}
	}
	slices.Sort(once)
	if dots {
		return "..." + string(once)
	}
	return string(once)
}

func det(c *call) error {
	in := c.shape(0)
	if in != nil && len(in) < 2 {
		return fmt.Errorf("its input of shape %v is no matrix", in)
	}
	if in != nil {
		in = in[:len(in)-2]
	}
	c.tensor(0, c.elem(0), in)
	return nil
}
