import { cases } from './dropout.cases.ts';
import { testKernel } from './testing/suite.ts';

testKernel('dropout', cases);
