package autodiff

import "assay/onnx"

// layerNormGradient treats x as rows of D elements to be normalised. With c = x-mean,
// v = 1/deviation and g = dy·scale, for each row
//
//	dx = v·(g - mean(g) - c·v²·mean(g·c))
//
// where RMSNormalization has c = x and no mean(g). Means with the scale are products
// with the vector scale/D, which shares dy·c with the gradient of the scale.
func layerNormGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, scale, bias := n.Inputs[0], n.Inputs[1], n.Input(2)
	p.float = p.elem(x)
	l := p.layer(n)
	centred, inverse := l.statistics(p)
	grads, parts := make([]string, 3), []string{}
	if dy[0] != "" {
		d, product := l.rows(p, dy[0]), ""
		if p.wants(x) || p.wants(scale) {
			product = p.Op("Mul", nil, d, centred)
		}
		if p.wants(x) {
			parts = append(parts, l.input(p, d, product, centred, inverse))
		}
		if p.wants(scale) {
			grads[1] = l.parameter(p, p.Op("MatMul", nil, p.Op("Reshape", nil, inverse, p.Ints(1, -1)), product), scale)
		}
		if p.wants(bias) {
			// A product with ones runs more than twice as fast as ReduceSum over the rows.
			one, _ := onnx.FromFloat64s("", p.float, []float64{1})
			ones := p.Op("ConstantOfShape", onnx.Attrs{"value": one},
				p.joined(p.Ints(1), p.Op("Shape", onnx.Attrs{"end": int64(1)}, d)))
			grads[2] = l.parameter(p, p.Op("MatMul", nil, ones, d), bias)
		}
	}
	if p.wants(x) {
		parts = append(parts, l.outputs(p, dy[1:], centred, inverse)...)
		sum := parts[0]
		for _, part := range parts[1:] {
			sum = p.Op("Add", nil, sum, part)
		}
		grads[0] = l.back(p, sum, x)
	}
	return grads, nil
}

// input is the gradient of the rows for that of the first output.
func (l *layer) input(p *pass, d, product, centred, inverse string) string {
	share := p.Op("Reshape", nil, p.Op("Div", nil, l.scale, l.width(p)), p.Ints(-1, 1))
	along := p.Op("Mul", nil, p.square(inverse), p.Op("MatMul", nil, product, share))
	dx := p.Op("Mul", nil, d, l.scale)
	if !l.uncentred {
		dx = p.Op("Sub", nil, dx, p.Op("MatMul", nil, d, share))
	}
	dx = p.Op("Sub", nil, dx, p.Op("Mul", nil, centred, along))
	return p.Op("Mul", nil, dx, inverse)
}

// outputs is the gradient of the rows for those of the statistics, which follow the
// first output: 1/D for the mean, -c·v³/D for one over the deviation. RMSNormalization
// as ONNX Runtime has it gives only the latter.
func (l *layer) outputs(p *pass, dy []string, centred, inverse string) []string {
	var parts []string
	for i, d := range dy {
		if d == "" {
			continue
		}
		if p.elem(l.n.Outputs[i+1]) != p.float {
			d = p.cast(d)
		}
		d = p.Op("Div", nil, p.Op("Reshape", nil, d, p.Ints(-1, 1)), l.width(p))
		if i == 0 && !l.uncentred {
			parts = append(parts, p.Op("Expand", nil, d, p.Op("Shape", nil, l.x)))
			continue
		}
		cubed := p.Op("Mul", nil, inverse, p.square(inverse))
		parts = append(parts, p.Op("Neg", nil, p.Op("Mul", nil, centred, p.Op("Mul", nil, d, cubed))))
	}
	return parts
}

// layer is a LayerNormalization or RMSNormalization over rows.
type layer struct {
	n         *onnx.Node
	axis      int64
	uncentred bool
	matrix    bool       // the input is a matrix of rows as it stands
	normal    onnx.Shape // of what is normalised together, nil where unknown
	exact     bool       // the parameters have that shape
	scale     string     // as a vector
	x         string     // as rows
}

func (p *pass) layer(n *onnx.Node) *layer {
	l := &layer{n: n, axis: n.Int("axis", -1), uncentred: n.Op != "LayerNormalization"}
	shape := p.shape(n.Inputs[0])
	if at := l.axis; shape != nil {
		if at < 0 {
			at += int64(len(shape))
		}
		if at >= 0 && at < int64(len(shape)) {
			l.normal = shape[at:]
			l.matrix = len(shape) == 2 && at == 1
		}
	}
	l.exact = l.normal.Equal(p.shape(n.Inputs[1]))
	l.scale = n.Inputs[1]
	if !l.exact {
		l.scale = p.Op("Expand", nil, l.scale, p.Op("Shape", onnx.Attrs{"start": l.axis}, n.Inputs[0]))
	}
	if !l.exact || len(l.normal) != 1 {
		l.scale = p.Op("Reshape", nil, l.scale, p.Ints(-1))
	}
	l.x = l.rows(p, n.Inputs[0])
	return l
}

// rows brings a value of the input's shape to a matrix with one row for each place.
func (l *layer) rows(p *pass, x string) string {
	if l.matrix {
		return x
	}
	return p.Op("Flatten", onnx.Attrs{"axis": l.axis}, x)
}

func (l *layer) back(p *pass, rows, x string) string {
	if l.matrix {
		return rows
	}
	return p.Op("Reshape", nil, rows, p.shapeOf(x))
}

// parameter brings a gradient of shape [1, D] to the shape of a parameter.
func (l *layer) parameter(p *pass, grad, like string) string {
	if l.normal.Equal(p.shape(like)) {
		return p.Op("Reshape", nil, grad, p.shapeOf(like))
	}
	grad = p.Op("Reshape", nil, grad, p.Op("Shape", onnx.Attrs{"start": l.axis}, l.n.Inputs[0]))
	return p.sumToDynamic(grad, like)
}

// width is the number D of elements in a row.
func (l *layer) width(p *pass) string {
	if sizes, fixed := l.normal.Sizes(); fixed {
		count, _ := onnx.Count(sizes)
		return p.number(float64(count))
	}
	return p.cast(p.Op("Size", nil, l.scale))
}

// statistics gives the rows less their means, and one over their deviations. The
// node's own are used where they are of the type of x; it is made to give them.
func (l *layer) statistics(p *pass) (centred, inverse string) {
	if !l.uncentred && p.float == onnx.Float32 && l.n.Int("stash_type", 1) == int64(onnx.Float32) {
		for i := 1; i < 3; i++ {
			if len(l.n.Outputs) <= i {
				l.n.Outputs = append(l.n.Outputs, "")
			}
			if l.n.Outputs[i] == "" {
				l.n.Outputs[i] = p.Name(l.n.Outputs[0] + "_statistic")
			}
		}
		column := p.Ints(-1, 1)
		mean, inverse := p.Op("Reshape", nil, l.n.Outputs[1], column), p.Op("Reshape", nil, l.n.Outputs[2], column)
		return p.Op("Sub", nil, l.x, mean), inverse
	}
	centred = l.x
	if !l.uncentred {
		centred = p.Op("Sub", nil, l.x, p.Op("ReduceMean", nil, l.x, p.Ints(1)))
	}
	variance := p.Op("ReduceMean", nil, p.square(centred), p.Ints(1))
	return centred, p.rsqrt(p.plus(variance, float64(l.n.Float("epsilon", 1e-5))))
}
