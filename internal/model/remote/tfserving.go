package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
)

// tensorFlowServing is TensorFlow Serving's REST interface
// (tensorflow.org/tfx/serving/api_rest), with "instances" in row format.
type tensorFlowServing struct {
	*httpClient
	model, version, signature string
}

const defaultSignature = "serving_default"

func (s *tensorFlowServing) path() string {
	path := "/v1/models/" + url.PathEscape(s.model)
	if s.version != "" {
		path += "/versions/" + url.PathEscape(s.version)
	}
	return path
}

func (s *tensorFlowServing) metadata(ctx context.Context) (metadata, error) {
	body, err := s.get(ctx, s.path()+"/metadata")
	if err != nil {
		return noMetadata(err)
	}
	return parseServingMetadata(body, s.signature)
}

// servingTensor is a TensorInfo message as JSON.
type servingTensor struct {
	Type  string `json:"dtype"`
	Shape struct {
		Dims []struct {
			Size json.RawMessage `json:"size"` // an int64, so as text
		} `json:"dim"`
		Unknown bool `json:"unknown_rank"`
	} `json:"tensor_shape"`
}

func parseServingMetadata(body []byte, signature string) (metadata, error) {
	if signature == "" {
		signature = defaultSignature
	}
	type definition struct {
		Inputs  map[string]servingTensor `json:"inputs"`
		Outputs map[string]servingTensor `json:"outputs"`
	}
	var m struct {
		Metadata struct {
			Outer struct {
				Definitions map[string]definition `json:"signature_def"`
			} `json:"signature_def"`
		} `json:"metadata"`
	}
	if err := json.Unmarshal(body, &m); err != nil {
		return metadata{}, fmt.Errorf("its metadata are not those of TensorFlow Serving: %w", err)
	}
	all := m.Metadata.Outer.Definitions
	if len(all) == 0 {
		return metadata{}, nil
	}
	d, ok := all[signature]
	if !ok {
		return metadata{}, fmt.Errorf("the model has the signatures %q, and not %q: check signature", slices.Sorted(maps.Keys(all)), signature)
	}
	inputs, err := servingTensors(d.Inputs)
	if err != nil {
		return metadata{}, err
	}
	outputs, err := servingTensors(d.Outputs)
	return metadata{inputs: inputs, outputs: outputs}, err
}

// servingTypes are TensorFlow's names of types in the Open Inference Protocol's words.
var servingTypes = map[string]string{
	"DT_FLOAT": "FP32", "DT_DOUBLE": "FP64", "DT_HALF": "FP16", "DT_BFLOAT16": "BF16", "DT_BOOL": "BOOL", "DT_STRING": "BYTES",
	"DT_INT8": "INT8", "DT_INT16": "INT16", "DT_INT32": "INT32", "DT_INT64": "INT64",
	"DT_UINT8": "UINT8", "DT_UINT16": "UINT16", "DT_UINT32": "UINT32", "DT_UINT64": "UINT64",
}

func servingTensors(tensors map[string]servingTensor) ([]tensorInfo, error) {
	var list []tensorInfo
	for _, name := range slices.Sorted(maps.Keys(tensors)) {
		t := tensors[name]
		info := tensorInfo{name: name, datatype: servingTypes[t.Type]}
		for _, d := range t.Shape.Dims {
			size, err := strconv.ParseInt(string(trimQuotes(d.Size)), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("the metadata of %q have a size %s in the shape", name, d.Size)
			}
			info.shape = append(info.shape, size)
		}
		list = append(list, info)
	}
	return list, nil
}

func trimQuotes(b []byte) []byte {
	if len(b) >= 2 && b[0] == '"' {
		return b[1 : len(b)-1]
	}
	return b
}

func (s *tensorFlowServing) infer(ctx context.Context, q query) (answer, error) {
	b := []byte{'{'}
	if s.signature != "" {
		name, _ := json.Marshal(s.signature)
		b = fmt.Appendf(b, `"signature_name":%s,`, name)
	}
	b = append(b, `"instances":`...)
	b = datatypes[q.input.datatype].appendNested(b, append([]int64{int64(q.n)}, q.input.shape...), q.rows)
	return s.ask(ctx, s.path()+":predict", append(b, '}'), q.n, func(body []byte) (answer, error) {
		return parseServing(body, q.output, q.limit)
	})
}

// parseServing reads the predictions, which are objects where the model has several
// outputs.
func parseServing(body []byte, output string, limit int) (answer, error) {
	p := path{{name: "predictions"}, {kind: all}}
	if output != "" {
		p = append(p, step{kind: optional, name: output})
	}
	return find(body, p, nil, limit)
}
