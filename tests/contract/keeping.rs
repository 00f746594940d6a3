//! A training that was kept goes on as if it had never stopped.

use super::training::weights;
use super::{GO, fresh_path};
use rwkv_engine::data::Batch;
use rwkv_engine::rwkv::{Sizes, Version};
use rwkv_engine::train::{Carry, Pattern, Rule, Settings, Start, Trainer, Tune};
use std::collections::BTreeMap;

#[test]
fn a_kept_training_goes_on_bit_for_bit() {
    let lora = Tune::Lora { rank: 2, alpha: 4.0, targets: vec![Pattern("*.att.*".into())] };
    let noise = Start::Noise { strength: 0.5 };
    let ways = [
        Settings { carry: Carry::Pass, ..Settings::default() },
        Settings { tune: lora, carry: Carry::Detach, ..Settings::default() },
        Settings { tune: Tune::State, ..Settings::default() },
        Settings { start: noise, accumulate: 2, ..Settings::default() },
        Settings { rule: Rule::Sgd { momentum: 0.9, weight_decay: 0.1 }, ..Settings::default() },
    ];
    let place = rwkv_engine::device::choose("cpu").unwrap();
    let sizes = Sizes {
        n_layer: 2,
        n_embd: 32,
        head_size: 16,
        vocab_size: 256,
        dim_ffn: 64,
        ranks: [4; 4],
    };
    for (way, settings) in ways.into_iter().enumerate() {
        let model = rwkv_engine::model::Model::fresh(Version::V7, &sizes, 3, &place).unwrap();
        let batch = |n: u32| {
            let tokens = (0..36).map(|i| (i * 7 + n * 13) % 256).collect();
            Batch::new(tokens, 9).unwrap()
        };
        let make = || Trainer::new(&model.rwkv, &model.state(), &place.device, settings.clone());
        let mut trainer = make().unwrap();
        for n in 0..3 {
            trainer.train_step(&batch(n), &GO).unwrap();
        }
        let folder = fresh_path(&format!("kept-{way}"));
        trainer.save(&folder, &model, BTreeMap::from([("seed".into(), "7".into())])).unwrap();
        let kept = rwkv_engine::train::Kept::open(&folder).unwrap();
        assert_eq!(kept.extra()["seed"], "7");
        let mut again = kept.trainer(&model).unwrap();
        assert_eq!((again.step(), again.tokens()), (3, 3 * 32));
        for n in 3..6 {
            let [one, other] =
                [&mut trainer, &mut again].map(|t| t.train_step(&batch(n), &GO).unwrap());
            assert_eq!(one.loss.to_bits(), other.loss.to_bits(), "way {way}, step {n}");
            assert_eq!(one.grad_norm.to_bits(), other.grad_norm.to_bits(), "way {way}, step {n}");
        }
        assert_eq!(weights(&trainer.rwkv()), weights(&again.rwkv()), "way {way}");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
