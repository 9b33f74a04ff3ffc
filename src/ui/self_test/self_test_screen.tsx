import './parity_report.css';
import { useEffect, useRef } from 'react';
import { isActive, useRun } from '../../state/run_store.ts';
import { EmptyState } from '../primitives/empty_state.tsx';
import { LinkButton } from '../primitives/link_button.tsx';
import { Screen } from '../primitives/screen.tsx';
import { ParityView } from './parity_report.ts';
import { startParityTest } from './run_parity.ts';

/** Trains the built-in case on this GPU and compares every number with PyTorch's. */
export function SelfTestScreen() {
  const training = useRun((state) => isActive(state.status));
  return (
    <Screen
      title="Check this GPU against PyTorch"
      lead="A tiny Llama is quantized to 4 bits here and trained for 20 steps; weights, gradients and losses are compared with what PyTorch and PEFT got in float32."
      actions={<LinkButton href="#model">Back to the studio</LinkButton>}
    >
      {training ? (
        <EmptyState title="A run is under way" actions={<LinkButton href="#train">See the run</LinkButton>}>
          The check needs the GPU for itself. Come back when the run has ended.
        </EmptyState>
      ) : (
        <Report />
      )}
    </Screen>
  );
}

function Report() {
  const place = useRef<HTMLDivElement>(null);
  useEffect(() => {
    let end = () => {};
    const view = new ParityView(() => {
      end();
      end = startParityTest(view);
    });
    place.current?.replaceChildren(view.element);
    end = startParityTest(view);
    return () => end();
  }, []);
  return <div ref={place} />;
}
