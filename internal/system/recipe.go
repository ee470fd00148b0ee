package system

// Arch is a kind of network that Assay builds.
type Arch string

// The kinds of networks.
const (
	Logistic Arch = "logistic"
	MLP      Arch = "mlp"
	CNN      Arch = "cnn"
)

// Recipe says how a model was trained, so that models like it can be: by AdamW under a one-cycle schedule, with standardized inputs, as
// assay train does.
type Recipe struct {
	// Data are the records that the model was trained on.
	Data string `yaml:"data" check:"required"`
	// Arch is the kind of network; mlp if it is left out.
	Arch Arch `yaml:"arch"`
	// Widths are those of the layers of mlp (64 and 32) and cnn (32, 32, 64 and 64).
	Widths []int `yaml:"widths" check:"min=1 max=65536"`
	// Epochs is how often a training goes through its data; 30 if it is left out.
	Epochs int `yaml:"epochs" check:"min=1 max=1000000"`
	// Batch is the number of examples for each step; 64 if it is left out.
	Batch int `yaml:"batch" check:"min=1 max=1000000"`
	// Rate is the learning rate; 0.001 if it is left out.
	Rate float64 `yaml:"rate" check:"above=0 max=1000"`
	// Decay is that of the weights; 0.01 if it is left out.
	Decay *float64 `yaml:"decay" check:"min=0 max=1000"`
	// Shadows is how many models like it an attacker trains, an even number from 4; 16 if it is left out.
	Shadows int `yaml:"shadows" check:"min=4 max=4096"`
}

// recipe notes what is wrong with how a model is said to have been trained.
func (c *checker) recipe(m *Model, data map[string]*Data) {
	r := m.Recipe
	if r == nil {
		return
	}
	at := m.At + ".recipe"
	reference(c, at+".data", "dataset", r.Data, data)
	if d := data[r.Data]; d != nil && d.Role != Training {
		c.Fail(at+".data", "%q are %s data: name those that the model was trained on, whose role is %s", d.Name, d.Role, Training)
	}
	if r.Arch == Logistic && r.Widths != nil {
		c.Fail(at+".widths", "are those of layers, and %s has none: leave them out", Logistic)
	}
	if r.Shadows%2 != 0 {
		c.Fail(at+".shadows", "is %d, and shadow models come in pairs: give an even number", r.Shadows)
	}
}
