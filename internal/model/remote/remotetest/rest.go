package remotetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// Names of every model's tensors.
const (
	Input  = "x"
	Output = "y"
)

type v2Tensor struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
	Data     any     `json:"data,omitempty"`
}

func (s *Server) v2Metadata(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("model")
	m, ok := s.models[name]
	if !ok {
		refuse(w, http.StatusNotFound, fmt.Errorf("there is no model %q", name))
		return
	}
	d := m.Describe()
	reply(w, map[string]any{
		"name": name, "versions": []string{"1"}, "platform": "onnx",
		"inputs":  []v2Tensor{{Name: Input, Datatype: "FP32", Shape: append([]int64{-1}, d.Shape...)}},
		"outputs": []v2Tensor{{Name: Output, Datatype: "FP32", Shape: []int64{-1, int64(len(d.Classes))}}},
	})
}

func (s *Server) v2Infer(w http.ResponseWriter, r *http.Request) {
	var request struct{ Inputs []v2Tensor }
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil || len(request.Inputs) != 1 {
		refuse(w, http.StatusBadRequest, fmt.Errorf("not a request with one input: %w", err))
		return
	}
	rows, err := flat(nil, request.Inputs[0].Data)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	n, scores, d, err := s.predict(r.Context(), r.PathValue("model"), rows)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	if n == 0 || request.Inputs[0].Shape[0] != int64(n) || request.Inputs[0].Name != Input || request.Inputs[0].Datatype != "FP32" {
		refuse(w, http.StatusBadRequest, fmt.Errorf("input %+v has %d rows", request.Inputs[0], n))
		return
	}
	reply(w, map[string]any{
		"model_name": r.PathValue("model"), "model_version": "1",
		"outputs": []v2Tensor{{Name: Output, Datatype: "FP32", Shape: []int64{int64(n), int64(len(d.Classes))}, Data: single(scores)}},
	})
}

// single are scores as a server that computes in float32 writes them.
func single(scores []float64) []float32 {
	out := make([]float32, len(scores))
	for i, v := range scores {
		out[i] = float32(v)
	}
	return out
}

// flat gives the numbers in arrays of arrays.
func flat(to []float64, v any) ([]float64, error) {
	switch v := v.(type) {
	case float64:
		return append(to, v), nil
	case []any:
		var err error
		for _, inner := range v {
			if to, err = flat(to, inner); err != nil {
				return nil, err
			}
		}
		return to, nil
	}
	return nil, fmt.Errorf("%v is no number", v)
}

func (s *Server) servingMetadata(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("model")
	m, ok := s.models[name]
	if !ok {
		refuse(w, http.StatusNotFound, fmt.Errorf("there is no model %q", name))
		return
	}
	d := m.Describe()
	tensor := func(shape ...int64) map[string]any {
		var dims []map[string]string
		for _, size := range append([]int64{-1}, shape...) {
			dims = append(dims, map[string]string{"size": strconv.FormatInt(size, 10), "name": ""})
		}
		return map[string]any{"dtype": "DT_FLOAT", "tensor_shape": map[string]any{"dim": dims, "unknown_rank": false}}
	}
	reply(w, map[string]any{
		"model_spec": map[string]string{"name": name, "signature_name": "", "version": "1"},
		"metadata": map[string]any{"signature_def": map[string]any{"signature_def": map[string]any{
			"serving_default": map[string]any{
				"inputs":      map[string]any{Input: tensor(d.Shape...)},
				"outputs":     map[string]any{Output: tensor(int64(len(d.Classes)))},
				"method_name": "tensorflow/serving/predict",
			},
		}}},
	})
}

func (s *Server) servingPredict(w http.ResponseWriter, r *http.Request) {
	name, _, _ := strings.Cut(r.PathValue("call"), ":")
	if model := r.PathValue("model"); model != "" {
		name = model // and the call names the version
	}
	var request struct{ Instances []any }
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	rows, err := flat(nil, request.Instances)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	n, scores, d, err := s.predict(r.Context(), name, rows)
	if err != nil || n != len(request.Instances) {
		refuse(w, http.StatusBadRequest, fmt.Errorf("%d instances of %d rows: %w", len(request.Instances), n, err))
		return
	}
	var predictions [][]float32
	for i := range n {
		predictions = append(predictions, single(scores[i*len(d.Classes):(i+1)*len(d.Classes)]))
	}
	reply(w, map[string]any{"predictions": predictions})
}

// score takes {"rows": […]} and gives for each row its label, the scores in a list, and
// the scores by the names of the classes.
func (s *Server) score(w http.ResponseWriter, r *http.Request) {
	var request struct{ Rows []any }
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	rows, err := flat(nil, request.Rows)
	if err != nil {
		refuse(w, http.StatusBadRequest, err)
		return
	}
	n, scores, d, err := s.predict(r.Context(), r.PathValue("model"), rows)
	if err != nil || n != len(request.Rows) {
		refuse(w, http.StatusBadRequest, fmt.Errorf("%d rows of %d: %w", len(request.Rows), n, err))
		return
	}
	var results []map[string]any
	for i := range n {
		row := scores[i*len(d.Classes) : (i+1)*len(d.Classes)]
		byClass := map[string]float64{}
		for j, name := range d.Classes {
			byClass[name] = row[j]
		}
		results = append(results, map[string]any{"label": d.Classes[best(row)], "scores": row, "by_class": byClass})
	}
	reply(w, map[string]any{"results": results})
}
