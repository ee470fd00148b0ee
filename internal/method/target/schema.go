package target

import (
	"fmt"

	"assay/internal/dataset"
	"assay/onnx"
)

// schemaEntry is where a model says how data must be encoded for it.
const schemaEntry = "assay.schema"

// WriteSchema notes in a model's metadata how its data are encoded.
func WriteSchema(m *onnx.Model, s *dataset.Schema) error {
	text, err := s.Encode()
	if err != nil {
		return err
	}
	if m.Metadata == nil {
		m.Metadata = map[string]string{}
	}
	m.Metadata[schemaEntry] = string(text)
	return nil
}

// ReadSchema gives the schema that a model was trained by, nil where it has none.
func ReadSchema(m *onnx.Model) (*dataset.Schema, error) {
	text, ok := m.Metadata[schemaEntry]
	if !ok {
		return nil, nil
	}
	s, err := dataset.DecodeSchema([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("the schema in the model's metadata: %w", err)
	}
	return s, nil
}
