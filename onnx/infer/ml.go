package infer

import (
	"slices"

	"assay/onnx"
)

// rows is the batch dimension of the first input; a vector is one row.
func (c *call) rows() onnx.Dim {
	switch in := c.shape(0); len(in) {
	case 0:
		return onnx.Dim{Size: -1}
	case 1:
		return onnx.Dim{Size: 1}
	default:
		return in[0]
	}
}

// labels are the classes that a classifier names: their type and number.
func (c *call) labels() (onnx.DataType, int64) {
	for _, name := range []string{"classlabels_strings", "classlabels_string", "cats_strings"} {
		if list := c.n.Texts(name); len(list) > 0 {
			return onnx.String, int64(len(list))
		}
	}
	for _, name := range []string{"classlabels_int64s", "classlabels_ints", "cats_int64s"} {
		if list := c.n.Ints(name); len(list) > 0 {
			return onnx.Int64, int64(len(list))
		}
	}
	return onnx.Int64, -1
}

// classifier gives a label and scores for each row.
func classifier(c *call) error {
	elem, classes := c.labels()
	c.tensor(0, elem, onnx.Shape{c.rows()})
	c.tensor(1, onnx.Float32, onnx.Shape{c.rows(), {Size: classes}})
	return nil
}

// regressor gives a number of targets for each row.
func regressor(c *call) error {
	targets := c.n.Int("n_targets", c.n.Int("targets", 1))
	c.tensor(0, onnx.Float32, onnx.Shape{c.rows(), {Size: targets}})
	return nil
}

func treeEnsemble(c *call) error {
	c.tensor(0, c.elem(0), onnx.Shape{c.rows(), {Size: c.n.Int("n_targets", -1)}})
	return nil
}

// zipMap names the columns of scores: a sequence of maps.
func zipMap(c *call) error {
	key, _ := c.labels()
	of := onnx.TensorOf(onnx.Float32, onnx.Shape{})
	c.typed(0, sequenceOf(onnx.Type{Kind: onnx.KindMap, Elem: key, Of: &of}))
	return nil
}

func arrayFeatures(c *call) error {
	c.tensor(0, c.elem(0), nil)
	in, places := c.shape(0), c.shape(1)
	if len(in) == 0 || places == nil {
		return nil
	}
	n, err := c.sizes().total(places)
	if err != nil {
		return err
	}
	out := slices.Clone(in)
	out[len(out)-1] = n.dim()
	if len(in) == 1 {
		out = onnx.Shape{{Size: 1}, n.dim()}
	}
	c.tensor(0, c.elem(0), out)
	return nil
}

func oneHotEncoder(c *call) error {
	_, classes := c.labels()
	if in := c.shape(0); in != nil {
		c.tensor(0, onnx.Float32, append(slices.Clone(in), onnx.Dim{Size: classes}))
		return nil
	}
	c.tensor(0, onnx.Float32, nil)
	return nil
}

func labelEncoder(c *call) error {
	elem := onnx.Undefined
	switch {
	case c.n.Has("values_strings"):
		elem = onnx.String
	case c.n.Has("values_int64s"):
		elem = onnx.Int64
	case c.n.Has("values_floats"):
		elem = onnx.Float32
	case c.n.Tensor("values_tensor") != nil:
		elem = c.n.Tensor("values_tensor").Type
	case c.n.Has("classes_strings"): // the first version: strings to numbers and back
		if elem = onnx.Int64; c.elem(0) == onnx.Int64 {
			elem = onnx.String
		}
	}
	c.tensor(0, elem, c.shape(0))
	return nil
}

func featureVectorizer(c *call) error {
	width, err := number(0), error(nil)
	for i := range c.n.Inputs {
		part := integer{}
		if s := c.shape(i); len(s) > 0 {
			part = fromDim(s[len(s)-1])
		}
		if width, err = c.sizes().add(width, part); err != nil {
			return err
		}
	}
	c.tensor(0, onnx.Float32, onnx.Shape{c.rows(), width.dim()})
	return nil
}

func svmClassifier(c *call) error {
	elem, classes := c.labels()
	scores := classes
	if n := classes; len(c.n.Floats("prob_a")) == 0 && n > 2 {
		scores = -1 // one for each class, or one for each pair
	}
	c.tensor(0, elem, onnx.Shape{c.rows()})
	c.tensor(1, onnx.Float32, onnx.Shape{c.rows(), {Size: scores}})
	return nil
}

func castMap(c *call) error {
	elem := onnx.Float32
	switch c.n.Text("cast_to", "TO_FLOAT") {
	case "TO_STRING":
		elem = onnx.String
	case "TO_INT64":
		elem = onnx.Int64
	}
	c.tensor(0, elem, unknown(2))
	return nil
}

func dictVectorizer(c *call) error {
	n := len(c.n.Texts("string_vocabulary")) + len(c.n.Ints("int64_vocabulary"))
	elem := within(c.in(0).typ).Elem
	c.tensor(0, elem, onnx.Fixed(1, int64(n)))
	return nil
}

func categoryMapper(c *call) error {
	elem := onnx.Int64
	if c.elem(0) == onnx.Int64 {
		elem = onnx.String
	}
	c.tensor(0, elem, c.shape(0))
	return nil
}

// optimizer infers the training preview's operators: after rate and step, groups of
// tensors of which the first has the gradients' number; outputs are new weights and states.
func optimizer(states int) rule {
	return func(c *call) error {
		tensors := (len(c.n.Inputs) - 2) / (states + 2)
		for i := range c.n.Outputs {
			j := 2 + i // of the weights, or, behind the gradients, of the states
			if i >= tensors {
				j += tensors
			}
			c.tensor(i, c.elem(j), c.shape(j))
		}
		return nil
	}
}
