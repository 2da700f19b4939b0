use wgrad::*;
fn main() {
    let (train, test) = Dataset::mnist().unwrap();
    let network = Network::classifier(784, &[256], Activation::Relu, 10);
    let mut t = Trainer::new(network, TrainOptions { epochs: 2, ..Default::default() }).unwrap();
    println!("{}", t.plan(&train).unwrap());
    t.fit_with(&train, Some(&test), &mut |e| println!("{e:?}")).unwrap();
}
