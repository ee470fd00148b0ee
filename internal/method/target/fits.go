package target

import (
	"fmt"

	"assay/internal/dataset"
	"assay/internal/model"
)

// Fits says in an error what keeps a model from taking the records of a schema and giving their classes, and no others.
func Fits(s *dataset.Schema, m model.Description) error {
	rows, err := NewRows(s, m)
	if err != nil {
		return fmt.Errorf("the model does not take these data: %w", err)
	}
	if m.Labels() != len(s.Label.Classes) {
		return fmt.Errorf("the model has %d classes, and the data have %d", m.Labels(), len(s.Label.Classes))
	}
	for i, name := range s.Label.Classes {
		if rows.Class(i) < 0 {
			return fmt.Errorf("the model has no class %q: its classes are %q", name, m.Classes)
		}
	}
	return nil
}
