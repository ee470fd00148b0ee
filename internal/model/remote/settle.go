package remote

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"assay/internal/model"
	"assay/onnx"
)

// settle decides what the model takes and gives, by what the endpoint and the
// configuration say. Where both say something, it must be the same.
func (c *Classifier) settle(cfg Config, m metadata) error {
	in, err := choose("input", cfg.Input, m.inputs)
	if err != nil {
		return err
	}
	if len(m.inputs) > 1 {
		return fmt.Errorf("the model takes %d inputs (%s), and rows have one: ask it by protocol json, with a template that takes rows apart", len(m.inputs), names(m.inputs))
	}
	if cfg.Protocol != TensorFlowServing && cfg.Protocol != JSON && in.name == "" {
		return fmt.Errorf("the endpoint does not tell the name of the model's input: state it in input")
	}
	if c.description.Batch, c.query.input, err = settleInput(cfg, in); err != nil {
		return err
	}
	out, err := choose("output", cfg.Output, m.outputs)
	if err != nil {
		return err
	}
	if c.query.output = out.name; cfg.Protocol == TensorFlowServing && len(m.outputs) == 1 {
		c.query.output = "" // then it is not named in an answer either
	}
	d := &c.description
	d.Shape, d.Layout, d.Range = c.query.input.shape, cfg.Layout, settleRange(cfg, c.query.input)
	if d.Layout == "" {
		d.Layout = model.LayoutOf(d.Shape)
	}
	d.Classes, d.Output = slices.Clone(cfg.Classes), cfg.Scores
	c.chunk = cmp.Or(d.Batch, min(cfg.MaxRows, model.MaxValues/d.RowSize()))
	if d.Batch > cfg.MaxRows {
		return fmt.Errorf("the model takes %d rows at once, and max_rows allows %d: raise it", d.Batch, cfg.MaxRows)
	}
	return c.settleOutput(out)
}

// choose finds a tensor by its configured name, or takes the only one.
func choose(field, name string, list []tensorInfo) (tensorInfo, error) {
	switch {
	case len(list) == 0:
		return tensorInfo{name: name}, nil
	case name == "" && len(list) == 1:
		return list[0], nil
	case name == "":
		return tensorInfo{}, fmt.Errorf("the model has the %ss %s: name one in %s", field, names(list), field)
	}
	for _, t := range list {
		if t.name == name {
			return t, nil
		}
	}
	return tensorInfo{}, fmt.Errorf("the configuration names the %s %q, and the endpoint says that the model has %s", field, name, names(list))
}

func names(list []tensorInfo) string {
	const shown = 10
	var text []string
	for _, t := range list[:min(shown, len(list))] {
		text = append(text, fmt.Sprintf("%q", t.name))
	}
	if len(list) > shown {
		text = append(text, "…")
	}
	return strings.Join(text, ", ")
}

// settleInput gives the fixed size of a batch, 0 if it is free, and the input with the
// shape of a row.
func settleInput(cfg Config, in tensorInfo) (batch int, _ tensorInfo, err error) {
	standard := "FP32"
	if cfg.Protocol == JSON {
		standard = "FP64"
	}
	if cfg.Datatype != "" && in.datatype != "" && cfg.Datatype != in.datatype {
		return 0, in, fmt.Errorf("the configuration says datatype %s, and the endpoint says that input %q is %s", cfg.Datatype, in.name, in.datatype)
	}
	in.datatype = cmp.Or(in.datatype, cfg.Datatype, standard)
	if _, ok := datatypes[in.datatype]; !ok {
		return 0, in, fmt.Errorf("input %q is of the type %.40s: only numbers of %s can be sent", in.name, in.datatype, strings.Join(datatypeNames(), ", "))
	}
	if len(in.shape) == 0 {
		if len(cfg.Shape) == 0 {
			return 0, in, fmt.Errorf("the endpoint does not tell the shape of a row: state it in shape")
		}
		in.shape = slices.Clone(cfg.Shape)
		return 0, in, nil
	}
	batch, row := int(max(in.shape[0], 0)), slices.Clone(in.shape[1:])
	if len(cfg.Shape) > 0 {
		if !matches(cfg.Shape, row) {
			return 0, in, fmt.Errorf("the configuration says shape %v, and the endpoint says that input %q has %v, with the batch first", cfg.Shape, in.name, in.shape)
		}
		row = slices.Clone(cfg.Shape)
	}
	in.shape = row
	size, ok := onnx.Count(row)
	if !ok || size < 1 {
		return 0, in, fmt.Errorf("the endpoint says that a row of input %q has the shape %v, which leaves its size open: state it in shape", in.name, row)
	}
	if batch > highestMaxRows || size > model.MaxValues/int64(max(batch, 1)) {
		return 0, in, fmt.Errorf("the endpoint says that input %q has %d rows of %d values, more than can be sent at once", in.name, batch, size)
	}
	return batch, in, nil
}

// matches compares sizes, of which the second may be open.
func matches(shape, open []int64) bool {
	return slices.EqualFunc(shape, open, func(a, b int64) bool { return a == b || b < 0 })
}

func settleRange(cfg Config, in tensorInfo) model.Range {
	switch d := datatypes[in.datatype]; {
	case len(cfg.Range) == 2:
		return model.Range{Low: cfg.Range[0], High: cfg.Range[1], Basis: "the configuration says so"}
	case in.datatype == "UINT8":
		return model.Range{Low: d.low, High: d.high, Basis: "the input is of type UINT8"}
	}
	return model.Unbounded("the endpoint states no range")
}

// settleOutput takes over what metadata say about the scores.
func (c *Classifier) settleOutput(out tensorInfo) error {
	d := &c.description
	isText := out.datatype == "BYTES"
	if isText && d.Output != model.UnknownOutput && d.Output != model.Labels {
		return fmt.Errorf("the configuration says that scores are %s, and the endpoint says that output %q holds texts (BYTES)", d.Output, out.name)
	}
	columns := int64(0)
	if len(out.shape) > 0 {
		columns, _ = onnx.Count(out.shape[1:]) // 0 where a size is open
	}
	isInteger := strings.Contains(out.datatype, "INT") || out.datatype == "BOOL"
	if isText || isInteger && columns <= 1 && d.Output == model.UnknownOutput {
		d.Output = model.Labels
	}
	if columns == 0 {
		return nil
	}
	if err := c.setColumns(int(min(columns, model.MaxClasses+1))); err != nil {
		return fmt.Errorf("%w, as the endpoint says of output %q: %v", err, out.name, out.shape)
	}
	return nil
}
