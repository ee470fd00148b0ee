package autodiff

import "assay/onnx"

// dropout holds Dropout, which differs between training and use.
var dropout = map[string]operator{"Dropout": {gradient: dropoutGradient}}

// dropoutGradient lets dy through where the forward pass kept x, scaled as it was.
// The node is made to give its mask, so that both passes drop the same elements.
func dropoutGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	training := n.Input(2)
	if training == "" {
		return []string{dy[0]}, nil
	}
	always := false
	if t := p.types.Constant(training); t != nil {
		values, err := t.Int64s()
		if err != nil {
			return nil, err
		}
		if always = len(values) == 1 && values[0] != 0; !always {
			return []string{dy[0]}, nil
		}
	}
	if len(n.Outputs) == 1 {
		n.Outputs = append(n.Outputs, "")
	}
	if n.Outputs[1] == "" {
		n.Outputs[1] = p.Name(n.Outputs[0] + "_mask")
	}
	kept := p.number(0.5)
	if ratio := n.Input(1); ratio != "" {
		if p.elem(ratio) != p.float {
			ratio = p.cast(ratio)
		}
		kept = p.minus(1, ratio)
	}
	if !always {
		kept = p.Op("Where", nil, training, kept, p.number(1))
	}
	return []string{p.Op("Mul", nil, dy[0], p.Op("Div", nil, p.cast(n.Outputs[1]), kept))}, nil
}
