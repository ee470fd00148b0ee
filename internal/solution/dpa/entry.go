package dpa

import (
	"encoding/json"
	"errors"
	"fmt"

	"assay/onnx"
)

// Entry is the entry of a model's metadata that says how the records of its vote were divided.
const Entry = "assay.dpa"

// Division is how the records were divided that the networks of a vote were trained on.
type Division struct {
	Partitions int `json:"partitions"`
	Spread     int `json:"spread"`  // networks that a record is among the training data of, of so many times the partitions
	Records    int `json:"records"` // in all
}

// Write notes in a model's metadata how its records were divided.
func (d Division) Write(m *onnx.Model) error {
	text, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if m.Metadata == nil {
		m.Metadata = map[string]string{}
	}
	m.Metadata[Entry] = string(text)
	return nil
}

// ReadDivision gives what a model's metadata say. They are as trustworthy as whoever made the model.
func ReadDivision(m *onnx.Model) (d Division, err error) {
	text, ok := m.Metadata[Entry]
	if !ok {
		return d, errors.New("it does not say how many parts of the records vote: give a model of assay harden dpa")
	}
	if err := json.Unmarshal([]byte(text), &d); err != nil {
		return d, fmt.Errorf("what its metadata say of its vote (%s) cannot be read: %w", Entry, err)
	}
	if d.Spread < 1 || d.Spread > MaxParts || d.Partitions < MinParts || d.Partitions > MaxParts/d.Spread || d.Records < 1 {
		return d, fmt.Errorf("its metadata say that %d times %d networks of %d records vote: give a model of assay harden dpa", d.Partitions, d.Spread, d.Records)
	}
	return d, nil
}
